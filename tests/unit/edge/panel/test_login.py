"""Logging in: first start, one-time passwords, wrong passwords, the proxy's word, expiry."""

from __future__ import annotations

import logging
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from edge.panel.access.login_limit import LoginLimit
from edge.panel.access.roles import Role
from edge.panel.access.sessions import COOKIE, Sessions
from edge.panel.services import open_panel
from tests.doubles.panel import CHEAP, PASSWORD, Browser, config_of, opened, title_of


def test_the_first_start_makes_one_admin(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = config_of(tmp_path, tmp_path / "line.yaml")
    with caplog.at_level(logging.WARNING):
        panel = open_panel(config, CHEAP)
    found = re.search(r"log in as admin with the one-time password (\S+)", caplog.text)
    assert found is not None
    browser = Browser(panel).log_in("admin", found[1])
    assert browser.get("/lines/line/live").headers["location"] == "/password"
    short = {"before": found[1], "password": "short", "again": "short"}
    assert "A password has 10 to 200 characters." in browser.post("/password", short).text
    same = {"before": found[1], "password": found[1], "again": found[1]}
    assert browser.post("/password", same).status_code == 400
    chosen = {"before": found[1], "password": PASSWORD, "again": PASSWORD}
    assert browser.post("/password", chosen).status_code == 303
    assert browser.get("/lines/line/live").status_code == 200
    assert Browser(panel).post("/login", {"name": "admin", "password": found[1]}).status_code == 401
    panel.database.close()
    caplog.clear()
    open_panel(config, CHEAP).database.close()
    assert caplog.text == ""


def test_wrong_passwords_slow_one_machine_and_shut_nobody_out(tmp_path: Path) -> None:
    with opened(config_of(tmp_path, tmp_path / "line.yaml")) as panel:
        guesser, person = Browser(panel, "10.0.0.66"), Browser(panel, "10.0.0.7")
        wrong = {"name": "operator", "password": "wrong"}
        answers = [guesser.post("/login", wrong).status_code for _ in range(6)]
        assert answers == [401] * 5 + [429]
        assert guesser.post("/login", {**wrong, "password": PASSWORD}).status_code == 429
        assert person.log_in("operator").get("/lines/line/live").status_code == 200


def test_the_wait_doubles_to_a_minute_and_is_forgotten() -> None:
    now = [0.0]
    limit = LoginLimit(lambda: now[0])
    waits = []
    for _ in range(14):
        waits.append(limit.attempt("a", "x"))
        now[0] += waits[-1]
        assert not waits[-1] or limit.attempt("a", "x") == 0
    assert waits[:9] == [0, 0, 0, 0, 0, 2, 4, 8, 16]
    assert waits[-1] == 60
    assert limit.attempt("b", "x") == 0
    now[0] += 901
    assert [limit.attempt("a", "x") for _ in range(5)] == [0] * 5


def test_attempts_at_once_are_counted_before_one_of_them_is_verified() -> None:
    limit = LoginLimit(lambda: 0.0)
    assert [limit.attempt("a", "x") > 0 for _ in range(8)] == [False] * 5 + [True] * 3


def test_the_right_password_counts_as_no_attempt() -> None:
    limit = LoginLimit(lambda: 0.0)
    for number in range(100):
        assert limit.attempt("a", f"name-{number % 40}") == 0
        limit.succeeded("a", f"name-{number % 40}")


def test_many_names_from_one_machine_are_slowed_too() -> None:
    limit = LoginLimit(lambda: 0.0)
    for number in range(30):
        limit.attempt("a", f"name-{number}")
    assert limit.attempt("a", "another") > 0
    assert limit.attempt("b", "another") == 0


def test_a_session_ends(tmp_path: Path) -> None:
    with opened(config_of(tmp_path, tmp_path / "line.yaml")) as panel:
        now = [datetime(2026, 11, 29, tzinfo=timezone.utc)]
        sessions = Sessions(panel.database, 12, lambda: now[0])
        token = sessions.begin("viewer")
        now[0] += timedelta(hours=11.9)
        found = sessions.find(token)
        assert found is not None
        assert found.account.role is Role.VIEWER
        now[0] += timedelta(hours=0.2)
        assert sessions.find(token) is None


def test_a_login_ends_the_session_before_at_the_same_screen(tmp_path: Path) -> None:
    with opened(config_of(tmp_path, tmp_path / "line.yaml")) as panel:
        browser = Browser(panel).log_in("engineer")
        before = browser.cookie(COOKIE)
        browser.log_in("viewer")
        assert before != browser.cookie(COOKIE)
        assert panel.sessions.find(before) is None


def test_logging_out_ends_the_session(tmp_path: Path) -> None:
    with opened(config_of(tmp_path, tmp_path / "line.yaml")) as panel:
        browser = Browser(panel).log_in("viewer")
        assert browser.post("/logout").headers["location"] == "/login"
        assert browser.get("/lines/line/live").status_code == 303


def test_a_person_who_is_shut_out_has_no_session(tmp_path: Path) -> None:
    with opened(config_of(tmp_path, tmp_path / "line.yaml")) as panel:
        browser = Browser(panel).log_in("operator")
        panel.accounts.change("operator", Role.OPERATOR, is_active=False)
        assert browser.get("/lines/line/live").status_code == 303
        wrong = {"name": "operator", "password": PASSWORD}
        assert Browser(panel).post("/login", wrong).status_code == 401


def test_the_proxy_names_the_person_and_nobody_else_does(tmp_path: Path) -> None:
    proxy = {"peers": ["10.1.1.1"], "user_header": "X-User", "origin": "https://panel.plant"}
    with opened(config_of(tmp_path, tmp_path / "line.yaml", proxy=proxy)) as panel:
        header = {"x-user": "engineer"}
        behind = Browser(panel, "10.1.1.1")
        answer = behind.get("/lines/line/live", headers=header)
        assert answer.status_code == 200
        assert "engineer · Engineer" in answer.text
        assert Browser(panel, "10.9.9.9").get("/lines/line/live", headers=header).status_code == 303
        unknown = behind.get("/lines/line/live", headers={"x-user": "somebody"})
        assert unknown.status_code == 403
        assert "somebody has no account at this panel." in unknown.text


def test_a_page_speaks_the_language_of_the_browser(tmp_path: Path) -> None:
    with opened(config_of(tmp_path, tmp_path / "line.yaml")) as panel:
        browser = Browser(panel)
        german = browser.get("/login", headers={"accept-language": "de-DE"})
        assert title_of(german) == "Anmelden"
        browser.post("/language", {"language": "zh"})
        assert title_of(browser.get("/login")) == "登录"
