"""Logging in and out, the choice of a password and of a language."""

from __future__ import annotations

import math

from starlette.responses import RedirectResponse, Response

from edge.panel.access.accounts import PASSWORD_MAX, PASSWORD_MIN, Account
from edge.panel.access.sessions import COOKIE
from edge.panel.endpoint import (
    LANGUAGE_COOKIE,
    LOGIN_PATH,
    PASSWORD_PATH,
    set_session_cookie,
)
from edge.panel.fields import local_path
from edge.panel.page import Page, Route, Visit
from edge.panel.refusals import Refused
from edge.panel.texts import LANGUAGES

_YEAR_S = 365 * 24 * 3600


def _home(_visit: Visit) -> Response:
    line = next(iter(_visit.panel.lines))
    return RedirectResponse(f"/lines/{line}/live", 303)


def _form(visit: Visit) -> Response:
    return _login_page(visit, 200, "")


def _login_page(visit: Visit, status: int, problem: str) -> Response:
    following = local_path(visit.request.query_params.get("next", "/"))
    return visit.render(status=status, problem=problem, following=following)


def _log_in(visit: Visit) -> Response:
    name = visit.field("name", 64)
    given = visit.form.get("password")
    limit = visit.panel.logins
    if wait_s := limit.attempt(visit.address, name):
        return _login_page(visit, 429, visit.texts("login.wait", seconds=math.ceil(wait_s)))
    account = visit.panel.accounts.verified(name, given if isinstance(given, str) else "")
    if account is None:
        return _login_page(visit, 401, visit.texts("login.wrong"))
    limit.succeeded(visit.address, name)
    # The browser forgets the session before, of the last person at this screen: so does the panel.
    visit.panel.sessions.end(visit.request.cookies.get(COOKIE, ""))
    answer = visit.back(local_path(str(visit.form.get("next", "/"))))
    _begin_session(visit, answer, account)
    return answer


def _begin_session(visit: Visit, answer: Response, account: Account) -> None:
    token = visit.panel.sessions.begin(account.name)
    set_session_cookie(answer, token, visit.request, visit.panel)


def _log_out(visit: Visit) -> Response:
    visit.panel.sessions.end(visit.request.cookies.get(COOKIE, ""))
    answer = visit.back(LOGIN_PATH)
    answer.delete_cookie(COOKIE)
    return answer


def _password_form(visit: Visit) -> Response:
    return visit.render("password.html", min=PASSWORD_MIN, max=PASSWORD_MAX)


def _set_password(visit: Visit) -> Response:
    """Sets the person's own password; the present one shows that it is the person."""
    account = visit.account
    before, chosen = str(visit.form.get("before", "")), str(visit.form.get("password", ""))
    limit = visit.panel.logins
    if limit.attempt(visit.address, account.name):
        raise Refused(429, "problem.too_often")
    if visit.panel.accounts.verified(account.name, before) is None:
        raise Refused(403, "problem.password")
    limit.succeeded(visit.address, account.name)
    if chosen == before or chosen != visit.form.get("again"):
        raise Refused(400, "problem.password_again")
    with visit.change("password", account.name):
        visit.panel.accounts.set_password(account.name, chosen, is_one_time=False)
    answer = visit.back("/")
    _begin_session(visit, answer, account)
    return answer


def _set_language(visit: Visit) -> Response:
    language = visit.field("language")
    if language not in LANGUAGES:
        raise Refused(400, "problem.field", name="language")
    answer = visit.back(local_path(str(visit.form.get("next", "/"))))
    answer.set_cookie(LANGUAGE_COOKIE, language, max_age=_YEAR_S, samesite="strict", httponly=True)
    return answer


def _public(path: str, handler: object, *, changes: bool = False) -> Route:
    return Route(path, handler, role=None, changes=changes, asks_why=False)  # type: ignore[arg-type]


PAGE = Page(
    "login",
    (
        _public(LOGIN_PATH, _form),
        _public(LOGIN_PATH, _log_in, changes=True),
        _public("/language", _set_language, changes=True),
        Route("/", _home),
        Route("/logout", _log_out, changes=True, asks_why=False, for_one_time=True),
        Route(PASSWORD_PATH, _password_form, for_one_time=True),
        Route(PASSWORD_PATH, _set_password, changes=True, asks_why=False, for_one_time=True),
    ),
    is_in_navigation=False,
)
