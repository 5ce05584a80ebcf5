"""The application: pages, static files, answers to errors, headers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from edge.panel.config import PanelConfig
from edge.panel.endpoint import Endpoint
from edge.panel.headers import SecurityHeaders
from edge.panel.pages import PAGES
from edge.panel.problems import Problems
from edge.panel.rendering import STATIC
from edge.panel.services import Panel, open_panel


def create_app(config: PanelConfig) -> ASGIApp:
    """Returns the application; it opens the panel's files at once, and closes them at its end.

    Raises:
        RecordsError: the files cannot be opened.
    """
    return app_of(open_panel(config))


def app_of(panel: Panel) -> ASGIApp:
    """Returns the application of an open panel."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        panel.database.close()

    routes = [
        Route(
            route.path,
            Endpoint(panel, PAGES, page, route).answer,
            methods=["POST"] if route.changes else ["GET"],
        )
        for page in PAGES
        for route in page.routes
    ]
    app = Starlette(
        routes=[*routes, Mount("/static", StaticFiles(directory=STATIC))],
        exception_handlers=Problems(panel).handlers(),
        lifespan=lifespan,
    )
    return SecurityHeaders(app)  # outside of everything: answers to defects have them too
