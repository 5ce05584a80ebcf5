"""A page of the panel: its routes, and a visit to one of them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import compile_path

from edge.panel.access.accounts import Account
from edge.panel.access.roles import Role
from edge.panel.access.sessions import COOKIE, Session
from edge.panel.audit import Change, Undo
from edge.panel.lines import PanelLine
from edge.panel.refusals import Refused
from edge.panel.services import Panel
from edge.panel.texts import LANGUAGES, Texts
from edge.panel.thumbnails import SIZES
from inspection.errors import ConfigError, LineError, LinewardenError
from inspection.redaction import redacted

WHY_MAX = 500
_FOREVER = "private, max-age=31536000, immutable"  # for what never changes under its address


@dataclass(frozen=True)
class Route:
    """One address of a page.

    Attributes:
        path: as Starlette writes it; one below `/lines/{line}` has `Visit.line`.
        handler: runs on a thread of a pool, and may wait for disk and line.
        role: the least that a person needs; None for people who are not logged in too.
        changes: whether it changes something: then it takes a POST with the person's token, from a
            page of the panel.
        asks_why: whether a change needs a reason, in the field `why` of its form.
        body_max_bytes: a larger form is refused.
        for_one_time: whether a person with a one-time password may come here.
    """

    path: str
    handler: Callable[[Visit], Response]
    role: Role | None = Role.VIEWER
    changes: bool = False
    asks_why: bool = True
    body_max_bytes: int = 65_536
    for_one_time: bool = False

    def takes_form(self, path: str) -> bool:
        """Returns whether a form that is sent to a path, with a query or not, comes here."""
        return self.changes and self._pattern.match(path.partition("?")[0]) is not None

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return compile_path(self.path)[0]


@dataclass(frozen=True)
class Page:
    """A page with its routes.

    Attributes:
        name: of its template, its texts, its style and script.
        routes: the first one is where the navigation leads.
        is_in_navigation: whether the navigation names it.
    """

    name: str
    routes: tuple[Route, ...]
    is_in_navigation: bool = True

    @property
    def is_of_a_line(self) -> bool:
        """Whether each line has one."""
        return "{line}" in self.routes[0].path


@dataclass(frozen=True)
class Visit:
    """One request to a page, by a person with the role that its route needs.

    Attributes:
        session: None where the route needs no role and nobody is logged in.
        form: the fields of a change; empty otherwise.
        address: of the person's machine.
        pages: all pages, for the navigation.
    """

    panel: Panel
    request: Request
    page: Page
    pages: Sequence[Page]
    session: Session | None
    texts: Texts
    address: str
    form: FormData = field(default_factory=FormData)

    @property
    def line(self) -> PanelLine:
        """The line in the address.

        Raises:
            Refused: the panel does not show it.
        """
        name = self.request.path_params["line"]
        if name not in self.panel.lines:
            raise Refused(404, "problem.no_line", name=name)
        return self.panel.lines[name]

    @property
    def account(self) -> Account:
        """The person.

        Raises:
            Refused: nobody is logged in.
        """
        if self.session is None:
            raise Refused(401, "problem.not_logged_in")
        return self.session.account

    @property
    def is_over(self) -> bool:
        """Whether the session has ended since; for an answer that goes on for hours."""
        token = self.request.cookies.get(COOKIE, "")
        is_person = self.session is not None and self.session.account.name != ""
        return is_person and self.panel.sessions.find(token) is None

    def may(self, role: Role) -> bool:
        """Returns whether the person has a role."""
        return self.session is not None and self.session.account.role.may(role)

    def role_to_send(self, path: str) -> Role | None:
        """Returns the least role for a form to a path; None for one that takes no form."""
        routes = (route for page in self.pages for route in page.routes)
        return next((route.role for route in routes if route.takes_form(path)), None)

    def may_send(self, path: str) -> bool:
        """Returns whether the person may send a form to a path: else no page shows its controls."""
        role = self.role_to_send(path)
        return role is not None and self.may(role)

    def field(self, name: str, most: int = 200) -> str:
        """Returns a field of the form as text, without blanks around it.

        Raises:
            Refused: it is missing, is a file, or is longer than `most`.
        """
        value = self.form.get(name)
        if not isinstance(value, str) or len(value) > most:
            raise Refused(400, "problem.field", name=name)
        return value.strip()

    @contextlib.contextmanager
    def change(self, action: str, subject: str, undo: Undo | None = None) -> Iterator[None]:
        """Enters a change into the audit log, before the block does it.

        Args:
            action: key of its text below "action.", such as "recipe_activate".
            subject: what is changed, and to what.
            undo: the request that takes it back.
        """
        account = self.session.account if self.session is not None else None
        change = Change(
            account=account.name if account else "",
            role=account.role.value if account else "",
            address=self.address,
            line=self.request.path_params.get("line", ""),
            action=action,
            subject=subject,
            why=str(self.form.get("why", "")).strip(),
            undo=undo,
        )
        with self.panel.audit.entering(change):
            yield

    def thumbnail(self, archive: Path, name: str) -> Response:
        """Returns an archived image at the size that the request asks for; see `Thumbnails`.

        Raises:
            Refused: there is no such size, or the image is no longer there.
        """
        size = self.request.query_params.get("size", "")
        if size not in map(str, SIZES):
            raise Refused(400, "problem.size")
        content, media = self.panel.thumbnails.picture(archive, name, int(size))
        return Response(content, media_type=media, headers={"Cache-Control": _FOREVER})

    def reload(self, *numbers: int | None) -> None:
        """Has the line load its recipe again after a change; see `PanelLine.reload`.

        Raises:
            Refused: the line refuses; the page says that the change is done all the same.
        """
        try:
            self.line.reload(*numbers)
        except (ConfigError, LineError) as error:
            raise Refused(409, "problem.not_loaded", message=redacted(str(error))) from error

    def render(self, template: str | None = None, *, status: int = 200, **values: Any) -> Response:
        """Returns a page.

        Args:
            template: file below `templates`; None for that of the page.
            values: for the template, which also has those of `base.html`.
        """
        name = template or f"{self.page.name}.html"
        text = self.panel.templates.get_template(name).render(**self._common(), **values)
        return HTMLResponse(text, status)

    def back(self, path: str) -> Response:
        """Returns the answer to a change that was done: the browser shows `path`."""
        return RedirectResponse(path, 303)

    def _common(self) -> dict[str, Any]:
        account = self.session.account if self.session else None
        line = self.request.path_params.get("line") or next(iter(self.panel.lines))
        here = self.request.url.path
        return {
            "t": self.texts,
            "languages": LANGUAGES,
            "account": account,
            "csrf": self.session.csrf_token if self.session else "",
            "may_send": self.may_send,
            "line_name": line,
            "line_links": [
                (name, self._first_path(name)) for name in self.panel.lines if account is not None
            ],
            "navigation": [
                (page.name, _path(page, line), f"{here}/".startswith(f"{_path(page, line)}/"))
                for page in self.pages
                if page.is_in_navigation and self._sees(page)
            ],
            "page_name": self.page.name,
            "zone": self._zone(),
            "here": here,
        }

    def _zone(self) -> ZoneInfo | None:
        """Returns the time zone of the line; None for that of the device, or without a line."""
        with contextlib.suppress(LinewardenError):  # a page needs no line that keeps records
            return self.line.zone if "line" in self.request.path_params else None
        return None

    def _first_path(self, line: str) -> str:
        has_own = self.page.is_of_a_line and self.page.is_in_navigation
        return _path(self.page if has_own else self.pages[0], line)

    def _sees(self, page: Page) -> bool:
        role = page.routes[0].role
        return role is not None and self.may(role)


def _path(page: Page, line: str) -> str:
    return page.routes[0].path.format(line=line)
