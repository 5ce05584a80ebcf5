"""Answers for everything that goes wrong: a page, or JSON for a script, that says what to do."""

from __future__ import annotations

import errno
import logging
import secrets
import sqlite3
from collections.abc import Callable
from typing import Any

from starlette.datastructures import URL
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from edge.panel.endpoint import language_of
from edge.panel.fields import local_path, path_and_query
from edge.panel.refusals import Refused
from edge.panel.services import Panel
from edge.panel.texts import LANGUAGES, Texts
from edge.station.control import NoAnswerError
from inspection.errors import ConfigError, LineError, LinewardenError, RecordsError
from inspection.redaction import redacted

_FULL = (errno.ENOSPC, errno.EDQUOT)

_log = logging.getLogger(__name__)


class Problems:
    """The handlers of exceptions of the application."""

    def __init__(self, panel: Panel) -> None:
        self._panel = panel

    def handlers(self) -> dict[Any, Callable[[Request, Any], Response]]:
        """Returns the handler of each kind of exception."""
        return {
            Refused: self._refused,
            HTTPException: self._http,
            LinewardenError: self._of_linewarden,
            sqlite3.OperationalError: self._of_sqlite,
            OSError: self._of_the_machine,
            Exception: self._defect,
        }

    def _refused(self, request: Request, error: Refused) -> Response:
        return self._answer(request, error.status, "refused", error.text, **error.values)

    def _http(self, request: Request, error: HTTPException) -> Response:
        known = {404: "problem.no_page", 405: "problem.method"}
        return self._answer(
            request, error.status_code, "refused", known.get(error.status_code, "problem.http")
        )

    def _of_linewarden(self, request: Request, error: LinewardenError) -> Response:
        """The line, its records, its configuration, or a command; the message says what to do."""
        kinds: tuple[tuple[type[LinewardenError], str], ...] = (
            (NoAnswerError, "line_silent"),
            (RecordsError, "records"),
            (ConfigError, "configuration"),
            (LineError, "line_refuses"),
        )
        kind = next((name for of, name in kinds if isinstance(error, of)), "refused")
        return self._answer(request, 503, kind, "problem.message", message=redacted(str(error)))

    def _of_sqlite(self, request: Request, error: sqlite3.OperationalError) -> Response:
        if "full" in str(error):
            return self._answer(request, 507, "disk_full", "problem.disk_full")
        return self._answer(request, 503, "disk", "problem.message", message=str(error))

    def _of_the_machine(self, request: Request, error: OSError) -> Response:
        if error.errno in _FULL:
            return self._answer(request, 507, "disk_full", "problem.disk_full")
        return self._answer(request, 503, "disk", "problem.message", message=redacted(str(error)))

    def _defect(self, request: Request, error: Exception) -> Response:
        number = secrets.token_hex(4)
        _log.error("defect %s at %s: %r", number, request.url.path, error)  # the server logs it all
        return self._answer(request, 500, "defect", "problem.defect", number=number)

    def _answer(
        self, request: Request, status: int, kind: str, text: str, **values: object
    ) -> Response:
        texts = Texts(language_of(request, self._panel))
        title, message = texts(f"problem.title_{kind}"), texts(text, **values)
        if "text/html" not in request.headers.get("accept", ""):
            return JSONResponse({"title": title, "message": message}, status)
        template = self._panel.templates.get_template("problem.html")
        return HTMLResponse(
            template.render(
                t=texts,
                languages=LANGUAGES,
                title=title,
                message=message,
                is_login=status == 401,
                here=request.url.path,
                page=_page_of(request),
            ),
            status,
        )


def _page_of(request: Request) -> str:
    """Returns the address to try again: of a change, that of the page with its form."""
    url = request.url
    if request.method == "POST":
        url = URL(request.headers.get("referer", ""))
        if url.netloc != request.url.netloc:
            return "/"
    return local_path(path_and_query(url))
