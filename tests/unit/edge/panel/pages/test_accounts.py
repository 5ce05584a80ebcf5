"""People: added with a one-time password, changed, shut out; one admin always remains."""

from __future__ import annotations

import re

from edge.panel.access.roles import Role
from edge.panel.services import Panel
from tests.doubles.panel import PASSWORD, Browser


def secret_of(text: str) -> str:
    found = re.search(r'class="secret">([^<]+)<', text)
    assert found is not None
    return found[1]


def test_a_person_is_added_and_logs_in_once(panel: Panel) -> None:
    admin = Browser(panel).log_in("admin")
    answer = admin.post("/accounts/add", {"name": "li.wei@plant", "role": "engineer"})
    password = secret_of(answer.text)
    assert password not in admin.get("/accounts").text
    person = Browser(panel).log_in("li.wei@plant", password)
    assert person.get("/lines/line/live").headers["location"] == "/password"
    assert person.post("/lines/line/recipes/check").status_code == 403
    assert (
        admin.post("/accounts/add", {"name": "li.wei@plant", "role": "viewer"}).status_code == 409
    )
    for name in ("", "-x", "a b", "x" * 65, "<b>"):
        assert admin.post("/accounts/add", {"name": name, "role": "viewer"}).status_code == 400
    assert admin.post("/accounts/add", {"name": "x", "role": "god"}).status_code == 400


def test_a_new_password_ends_the_sessions(panel: Panel) -> None:
    admin, operator = Browser(panel).log_in("admin"), Browser(panel).log_in("operator")
    password = secret_of(admin.post("/accounts/password", {"name": "operator"}).text)
    assert operator.get("/lines/line/live").status_code == 303
    wrong = {"name": "operator", "password": PASSWORD}
    assert Browser(panel).post("/login", wrong).status_code == 401
    Browser(panel).log_in("operator", password)


def test_a_change_of_a_role_is_taken_back(panel: Panel) -> None:
    admin = Browser(panel).log_in("admin")
    change = {"name": "operator", "role": "engineer", "is_active": "no"}
    assert admin.post("/accounts/change", change).status_code == 303
    assert panel.accounts.find("operator") is None
    (entry,) = panel.audit.entries()
    assert entry.change.undo is not None
    admin.post(entry.change.undo.path, dict(entry.change.undo.form))
    found = panel.accounts.find("operator")
    assert found is not None
    assert found.role is Role.OPERATOR
    unknown = {"name": "nobody", "role": "viewer", "is_active": "yes"}
    assert admin.post("/accounts/change", unknown).status_code == 404


def test_the_last_admin_remains(panel: Panel) -> None:
    admin = Browser(panel).log_in("admin")
    for change in ({"role": "viewer", "is_active": "yes"}, {"role": "admin", "is_active": "no"}):
        answer = admin.post("/accounts/change", {"name": "admin", **change})
        assert answer.status_code == 409
        assert "At least one administrator must remain." in answer.text
    assert admin.get("/accounts").status_code == 200
