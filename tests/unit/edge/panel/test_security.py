"""No change without login, token, origin, role and reason; nothing unbounded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from socket import gethostname
from urllib.parse import parse_qs, urlsplit

import pytest

from edge.panel.access.roles import Role
from edge.panel.access.sessions import COOKIE
from edge.panel.headers import CONTENT_SECURITY_POLICY
from edge.panel.page import Route
from edge.panel.pages import PAGES
from edge.panel.services import Panel
from tests.doubles.panel import ORIGIN, PASSWORD, Browser, config_of, opened, title_of

CHANGES = [route for page in PAGES for route in page.routes if route.changes]
GUARDED = [route for route in CHANGES if route.role is not None]
ABOVE_VIEWER = [route for route in GUARDED if route.role is not Role.VIEWER]
WITH_REASON = [route for route in GUARDED if route.asks_why]


def filled(path: str) -> str:
    """Returns an address of a route, with values in it."""
    return path.replace("{line}", "line").replace("{number:int}", "1").replace("{name}", "x")


def named(route: Route) -> str:
    return route.path


@pytest.fixture
def panel(tmp_path: Path) -> Iterator[Panel]:
    with opened(config_of(tmp_path, tmp_path / "line.yaml")) as panel:
        yield panel


def entries(panel: Panel) -> int:
    return len(panel.audit.entries(limit=1000))


@pytest.mark.parametrize("route", GUARDED, ids=named)
def test_a_change_without_login_is_refused(panel: Panel, route: Route) -> None:
    assert Browser(panel).post(filled(route.path)).status_code == 401
    assert entries(panel) == 0


@pytest.mark.parametrize("route", GUARDED, ids=named)
def test_a_change_with_the_token_of_another_is_refused(panel: Panel, route: Route) -> None:
    admin, other = Browser(panel).log_in("admin"), Browser(panel).log_in("operator")
    for token in (other.csrf, "", "wrong"):
        admin.csrf = token
        assert admin.post(filled(route.path)).status_code == 403
    assert entries(panel) == 0


@pytest.mark.parametrize("route", CHANGES, ids=named)
def test_a_change_from_another_origin_is_refused(panel: Panel, route: Route) -> None:
    admin = Browser(panel).log_in("admin")
    for origin in ("http://evil.test", "https://panel.test", "null", ORIGIN + ".evil.test", ""):
        assert admin.post(filled(route.path), origin=origin).status_code == 403
    assert entries(panel) == 0


@pytest.mark.parametrize("route", ABOVE_VIEWER, ids=named)
def test_a_change_by_a_lower_role_is_refused(panel: Panel, route: Route) -> None:
    assert route.role is not None
    for role in Role:
        if not role.may(route.role):
            person = Browser(panel).log_in(role.value)
            assert person.post(filled(route.path)).status_code == 403
    assert entries(panel) == 0


@pytest.mark.parametrize("route", WITH_REASON, ids=named)
def test_a_change_without_a_reason_is_refused(panel: Panel, route: Route) -> None:
    admin = Browser(panel).log_in("admin")
    for why in ("", "   ", "x" * 501):
        answer = admin.post(filled(route.path), {"why": why})
        assert answer.status_code == 400
        assert "Give a reason of at most 500 characters." in answer.text
    assert entries(panel) == 0


@pytest.mark.parametrize("route", CHANGES, ids=named)
def test_a_change_takes_no_get(panel: Panel, route: Route) -> None:
    admin = Browser(panel).log_in("admin")
    before = entries(panel)
    admin.get(filled(route.path))
    assert entries(panel) == before


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_without_login_leads_to_the_login(panel: Panel, page: object) -> None:
    browser = Browser(panel)
    for route in page.routes:  # type: ignore[attr-defined]
        if not route.changes and route.role is not None:
            path = filled(route.path).replace("{trigger}", "t").replace("{place:int}", "0")
            answer = browser.get(path)
            assert answer.status_code == 303
            assert answer.headers["location"].startswith("/login?next=")


def test_the_login_leads_back_to_the_choice_in_the_address(panel: Panel) -> None:
    browser = Browser(panel)
    address = "/lines/line/review?verdict=REJECT&label=-"
    login = browser.get(address).headers["location"]
    (following,) = parse_qs(urlsplit(login).query)["next"]
    form = {"name": "viewer", "password": PASSWORD, "next": following}
    assert browser.post("/login", form).headers["location"] == address


def test_open_pages_show_and_change_nothing_more(tmp_path: Path) -> None:
    config = config_of(tmp_path, tmp_path / "line.yaml", open_to_viewers=True, names=["panel.test"])
    with opened(config) as panel:
        nobody = Browser(panel)
        assert nobody.get("/lines/line/live").status_code == 200
        for route in GUARDED:
            assert nobody.post(filled(route.path)).status_code in {401, 403}
        assert entries(panel) == 0


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("rebound.example", 403),  # a page of the internet, whose name has the panel's address
        ("panel.test", 200),
        ("192.168.0.7:9600", 200),
        ("[fd00::7]:9600", 200),
        ("localhost", 200),
        (gethostname(), 200),
    ],
)
def test_open_pages_are_open_under_the_names_of_the_panel_alone(
    tmp_path: Path, host: str, status: int
) -> None:
    config = config_of(tmp_path, tmp_path / "line.yaml", open_to_viewers=True, names=["panel.test"])
    with opened(config) as panel:
        nobody = Browser(panel)
        answer = nobody.get("/lines/line/live", headers={"host": host})
        assert answer.status_code == status
        if status == 403:
            assert "rebound.example is not one of them" in answer.text
        assert nobody.get("/login", headers={"host": host}).status_code == 200
        somebody = Browser(panel).log_in("viewer")
        assert somebody.get("/lines/line/live", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/lines/line/health?before={'9' * 30}", 400),
        (f"/lines/line/health?before={'9' * 5000}", 400),
        ("/lines/line/teach/a%00b", 404),
        ("/lines/line/teach/..", 404),
        ("/lines/line/teach/a%2F..%2Fb", 404),
        ("/lines/line/teach/part/images/a%00b?size=160", 404),
        (f"/lines/line/teach/part/images/a.png?size={'9' * 5000}", 400),
    ],
)
def test_odd_numbers_and_names_are_refused_and_are_no_defect(
    panel: Panel, path: str, status: int
) -> None:
    panel.teach.parts.add("line", "part", "")
    assert Browser(panel).log_in("viewer").get(path).status_code == status


def test_the_cookie_is_secure_behind_a_proxy_that_ends_tls(tmp_path: Path) -> None:
    proxy = {"peers": ["10.0.0.9"], "origin": "https://panel.plant"}
    config = config_of(tmp_path, tmp_path / "line.yaml", proxy=proxy)
    with opened(config) as panel:
        form = {"name": "viewer", "password": PASSWORD}
        for address, is_secure in (("10.0.0.9", True), ("10.0.0.1", False)):
            answer = Browser(panel, address).post("/login", form)
            assert ("secure" in answer.headers["set-cookie"].lower()) is is_secure


def test_every_answer_has_the_headers(panel: Panel) -> None:
    browser = Browser(panel).log_in("viewer")
    paths = ("/", "/login", "/lines/line/live", "/nothing", "/static/panel.css", "/lines/no/live")
    for path in paths:
        headers = browser.get(path).headers
        assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert "server" not in headers
    assert "unsafe" not in CONTENT_SECURITY_POLICY


def test_no_template_has_what_the_policy_refuses() -> None:
    folder = Path(__file__).parents[4] / "edge/panel/templates"
    for path in folder.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert " style=" not in text
        assert "<style" not in text
        assert " onclick=" not in text
        assert "|safe" not in text
        for script in text.split("<script")[1:]:
            assert 'src="/static/' in script.split(">")[0] or "application/json" in script


def test_the_cookie_is_for_the_panel_alone(panel: Panel) -> None:
    answer = Browser(panel).post("/login", {"name": "admin", "password": PASSWORD})
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie


def test_a_large_form_is_refused(panel: Panel) -> None:
    admin = Browser(panel).log_in("admin")
    answer = admin.post("/password", {"before": "x" * 70_000})
    assert answer.status_code == 413
    assert "The form is larger than 65536 bytes." in answer.text


def test_a_stranger_sends_no_large_form(panel: Panel) -> None:
    """The login is open to everybody: it reads no more than any other form."""
    assert Browser(panel).post("/login", {"name": "x" * 70_000}).status_code == 413


def test_the_login_leads_nowhere_else(panel: Panel) -> None:
    browser = Browser(panel)
    for target in ("https://evil.test", "//evil.test", "/\\evil.test", "javascript:x", "/a\r\nb"):
        form = {"name": "viewer", "password": PASSWORD, "next": target}
        assert browser.post("/login", form).headers["location"] == "/"


def test_a_defect_has_words_and_a_number(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_token: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(panel.sessions, "find", broken)
    answer = Browser(panel).get("/lines/line/live")
    assert answer.status_code == 500
    assert title_of(answer) == "A defect of the panel"
    assert "The inspection goes on without it." in answer.text
