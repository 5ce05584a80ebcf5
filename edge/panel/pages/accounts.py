"""Accounts: the people who may use the panel. For administrators."""

from __future__ import annotations

from starlette.responses import Response

from edge.panel.access.accounts import one_time_password
from edge.panel.access.roles import Role
from edge.panel.audit import Undo
from edge.panel.page import Page, Route, Visit
from edge.panel.refusals import Refused

_PATH = "/accounts"
_CHANGE = f"{_PATH}/change"


def _accounts(visit: Visit) -> Response:
    return _page(visit)


def _page(visit: Visit, name: str = "", password: str = "") -> Response:
    """Shows the accounts, and once the one-time password of one of them."""
    return visit.render(
        accounts=visit.panel.accounts.all(), roles=list(Role), told_name=name, told=password
    )


def _add(visit: Visit) -> Response:
    name, role = visit.field("name", 64), _role(visit)
    password = one_time_password()
    undo = Undo(_CHANGE, {"name": name, "role": role.value, "is_active": "no"})
    with visit.change("account_add", f"{name}: {role.value}", undo):
        visit.panel.accounts.add(name, role, password)
    return _page(visit, name, password)


def _change(visit: Visit) -> Response:
    name, role, is_active = visit.field("name", 64), _role(visit), visit.field("is_active") == "yes"
    before = next((one for one in visit.panel.accounts.all() if one.name == name), None)
    if before is None:
        raise Refused(404, "problem.no_account", name=name)
    was_active = "yes" if before.is_active else "no"
    undo = Undo(_CHANGE, {"name": name, "role": before.role.value, "is_active": was_active})
    with visit.change("account_change", f"{name}: {role.value}, {is_active}", undo):
        visit.panel.accounts.change(name, role, is_active=is_active)
    return visit.back(_PATH)


def _new_password(visit: Visit) -> Response:
    name, password = visit.field("name", 64), one_time_password()
    with visit.change("account_password", name):
        visit.panel.accounts.set_password(name, password, is_one_time=True)
    return _page(visit, name, password)


def _role(visit: Visit) -> Role:
    try:
        return Role(visit.field("role"))
    except ValueError as error:
        raise Refused(400, "problem.field", name="role") from error


PAGE = Page(
    "accounts",
    (
        Route(_PATH, _accounts, role=Role.ADMIN),
        Route(f"{_PATH}/add", _add, role=Role.ADMIN, changes=True),
        Route(_CHANGE, _change, role=Role.ADMIN, changes=True),
        Route(f"{_PATH}/password", _new_password, role=Role.ADMIN, changes=True),
    ),
)
