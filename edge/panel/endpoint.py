"""The way of a request to a page: every check that no page can forget.

In this order, each before anything costs more: the origin of a change, the session, the role, the
size and the time of the form, its token, its reason. Then the handler runs on a thread of a pool.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Sequence
from urllib.parse import quote

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Message, Receive

from edge.panel.access.accounts import Account
from edge.panel.access.roles import Role
from edge.panel.access.sessions import COOKIE, Session
from edge.panel.config import is_ip_address
from edge.panel.fields import path_and_query
from edge.panel.page import WHY_MAX, Page, Route, Visit
from edge.panel.refusals import Refused
from edge.panel.services import Panel
from edge.panel.texts import LANGUAGES, TextKey, Texts, preferred

LANGUAGE_COOKIE = "linewarden_language"
LOGIN_PATH = "/login"
PASSWORD_PATH = "/password"  # noqa: S105 - an address

_FORM_S = 20.0  # for the whole form, however slowly it comes, and longer for a large one:
_BYTES_PER_S = 500_000  # 4 Mbit/s, a weak wireless network
_FIELDS_MAX = 200
_VIEWER = Session(Account("", Role.VIEWER), "")


class Endpoint:
    """Answers the requests to one route."""

    def __init__(self, panel: Panel, pages: Sequence[Page], page: Page, route: Route) -> None:
        self._panel = panel
        self._pages = pages
        self._page = page
        self._route = route

    async def answer(self, request: Request) -> Response:
        """Returns the answer.

        Raises:
            Refused: one of the checks fails.
        """
        if self._route.changes:
            self._check_origin(request)
        session, token = await run_in_threadpool(self._session, request)
        answer = self._elsewhere(request, session)
        if answer is None:
            form = FormData()
            if self._route.changes:
                form = await self._form(request, session)
            try:
                answer = await run_in_threadpool(
                    self._route.handler, self._visit(request, session, form)
                )
            finally:
                await form.close()
        if token is not None:
            set_session_cookie(answer, token, request, self._panel)
        return answer

    def _check_origin(self, request: Request) -> None:
        proxy = self._panel.config.proxy
        own = {f"{request.url.scheme}://{request.headers.get('host', '')}"}
        if proxy is not None:
            own.add(proxy.origin)
        if request.headers.get("origin") not in own:
            raise Refused(403, "problem.origin")

    def _session(self, request: Request) -> tuple[Session | None, str | None]:
        """Returns the session, and the token of one that begins with this request."""
        found = self._panel.sessions.find(request.cookies.get(COOKIE, ""))
        name = proxied_name(request, self._panel)
        if name is not None and (found is None or found.account.name != name):
            if self._panel.accounts.find(name) is None:
                raise Refused(403, "problem.no_account", name=name)
            token = self._panel.sessions.begin(name)
            return self._panel.sessions.find(token), token
        if found is None and self._panel.config.open_to_viewers:
            self._check_name(request)
            return _VIEWER, None
        return found, None

    def _check_name(self, request: Request) -> None:
        name = request.url.hostname or ""
        if self._route.role is not None and not self._panel.config.is_own_name(name):
            raise Refused(403, "problem.host", name=name)

    def _elsewhere(self, request: Request, session: Session | None) -> Response | None:
        """Returns the way to the login or to the choice of a password; None for nowhere else."""
        route = self._route
        if route.role is None:
            return None
        if session is None or not session.account.role.may(route.role):
            if session is not None and session.account.name:
                raise Refused(403, "problem.role", role=TextKey(f"role.{route.role.value}"))
            if route.changes or "text/html" not in request.headers.get("accept", ""):
                raise Refused(401, "problem.not_logged_in")
            return RedirectResponse(f"{LOGIN_PATH}?next={quote(path_and_query(request.url))}", 303)
        if session.account.is_one_time and not route.for_one_time:
            if route.changes:
                raise Refused(403, "problem.one_time")
            return RedirectResponse(PASSWORD_PATH, 303)
        return None

    async def _form(self, request: Request, session: Session | None) -> FormData:
        most = self._route.body_max_bytes
        bounded = Request(request.scope, _bounded(request, most))
        try:
            form = await bounded.form(max_files=_FIELDS_MAX, max_fields=_FIELDS_MAX)
        except MultiPartException as error:
            raise Refused(400, "problem.form") from error
        if self._route.role is not None:
            given = str(form.get("csrf") or request.headers.get("x-csrf-token") or "")
            expected = session.csrf_token if session is not None else ""
            if not expected or not hmac.compare_digest(given.encode(), expected.encode()):
                raise Refused(403, "problem.csrf")
        why = str(form.get("why", "")).strip()
        if self._route.asks_why and not 0 < len(why) <= WHY_MAX:
            raise Refused(400, "problem.why", max=WHY_MAX)
        return form

    def _visit(self, request: Request, session: Session | None, form: FormData) -> Visit:
        return Visit(
            panel=self._panel,
            request=request,
            page=self._page,
            pages=self._pages,
            session=session,
            texts=Texts(language_of(request, self._panel)),
            address=address_of(request, self._panel),
            form=form,
        )


def _bounded(request: Request, most: int) -> Receive:
    """Returns a `receive` that refuses a form that is too large or comes too slowly."""
    left = most
    until_s = time.monotonic() + _FORM_S + most / _BYTES_PER_S

    async def receive() -> Message:
        nonlocal left
        try:
            with anyio.fail_after(until_s - time.monotonic()):
                message = await request.receive()
        except TimeoutError as error:
            raise Refused(408, "problem.slow") from error
        left -= len(message.get("body", b""))
        if left < 0:
            raise Refused(413, "problem.too_large", max=most)
        return message

    return receive


def set_session_cookie(answer: Response, token: str, request: Request, panel: Panel) -> None:
    """Gives the browser the token of a session; no script of a page can read it."""
    # The proxy may end TLS: then the browser speaks HTTPS, and the panel sees plain HTTP.
    proxy = panel.config.proxy
    is_behind = proxy is not None and proxy.sends(peer_of(request))
    origin = proxy.origin if proxy is not None and is_behind else str(request.url)
    secure = origin.startswith("https:")
    answer.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=secure)


def language_of(request: Request, panel: Panel) -> str:
    """Returns the language that the person chose, or else that of the browser."""
    chosen = request.cookies.get(LANGUAGE_COOKIE, "")
    if chosen in LANGUAGES:
        return chosen
    return preferred(request.headers.get("accept-language", ""), panel.config.language)


def address_of(request: Request, panel: Panel) -> str:
    """Returns the address of the person's machine; behind the proxy, the one that it names."""
    peer, proxy = peer_of(request), panel.config.proxy
    if proxy is not None and proxy.sends(peer):
        told = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
        return told if is_ip_address(told) else peer
    return peer


def peer_of(request: Request) -> str:
    """Returns the address from which a request comes; empty where it is not known."""
    return request.client.host if request.client is not None else ""


def proxied_name(request: Request, panel: Panel) -> str | None:
    """Returns the name that the proxy has authenticated; None for a request from elsewhere."""
    proxy = panel.config.proxy
    if proxy is None or not proxy.sends(peer_of(request)):
        return None
    return request.headers.get(proxy.user_header) or None
