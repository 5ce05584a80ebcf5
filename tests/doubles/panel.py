"""A panel in the test's process, with people of every role."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from starlette.testclient import TestClient

from edge.panel.access.roles import Role
from edge.panel.app import app_of
from edge.panel.config import PanelConfig
from edge.panel.services import Panel, open_panel
from edge.station.commands import LabelMessage, NoArguments, RecipeMessage, WithdrawMessage
from edge.station.control import Command, ControlSocket
from inspection.errors import LineError

ORIGIN = "http://panel.test"
PASSWORD = "correct horse battery"  # noqa: S105 - of people who exist in tests alone

# A test logs in often, and every hash of the real parameters takes 64 MiB and a core.
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)

_TOKEN = re.compile(r'name="csrf" value="([^"]+)"')


class Browser:
    """A person's browser.

    Attributes:
        csrf: the token of the session; empty before the login.
    """

    def __init__(self, panel: Panel, address: str = "10.0.0.1") -> None:
        self._client = TestClient(
            app_of(panel),
            base_url=ORIGIN,
            follow_redirects=False,
            raise_server_exceptions=False,
            client=(address, 50000),
            headers={"accept": "text/html"},
        )
        self.csrf = ""

    def cookie(self, name: str) -> str:
        """Returns a cookie of the panel."""
        return self._client.cookies[name]

    def get(self, path: str, **arguments: Any) -> Any:
        """Opens an address."""
        return self._client.get(path, **arguments)

    def request(self, method: str, path: str, **arguments: Any) -> Any:
        """Sends a request as it is written."""
        return self._client.request(method, path, **arguments)

    def post(
        self, path: str, form: dict[str, str] | None = None, *, origin: str = ORIGIN, **more: Any
    ) -> Any:
        """Sends a form from a page of the panel, with the token and a reason."""
        values = {"csrf": self.csrf, "why": "a test", **(form or {})}
        return self._client.post(path, data=values, headers={"origin": origin}, **more)

    def log_in(self, name: str, password: str = PASSWORD) -> Browser:
        """Logs in, and learns the token."""
        assert self.post("/login", {"name": name, "password": password}).status_code == 303
        found = _TOKEN.search(self.get("/password").text)
        assert found is not None
        self.csrf = found[1]
        return self


def config_of(folder: Path, line: Path, **settings: Any) -> PanelConfig:
    """Returns the configuration of a panel that shows one line, named "line"."""
    values = {"lines": {"line": line}, "folder": folder / "panel", **settings}
    return PanelConfig.model_validate(values)


@contextmanager
def opened(config: PanelConfig) -> Iterator[Panel]:
    """Opens a panel with one person of each role, named as the role."""
    panel = open_panel(config, CHEAP)
    for role in Role:
        if role is not Role.ADMIN:
            panel.accounts.add(role.value, role, PASSWORD)
        panel.accounts.set_password(role.value, PASSWORD, is_one_time=False)
    try:
        yield panel
    finally:
        panel.database.close()


def raising(error: Exception) -> Callable[..., Any]:
    """Returns a function that raises an error, whatever it is called with."""

    def fails(*_: object) -> Any:
        raise error

    return fails


def title_of(answer: Any) -> str:
    """Returns the heading of a page."""
    found = re.search(r"<h1[^>]*>(.*?)</h1>", answer.text, re.DOTALL)
    return found[1].strip() if found else ""


class TalkingLine:
    """The control socket of a line that answers as a test wants.

    Attributes:
        state: its answer to "state".
        picture: its answer to "picture".
        signals: its answer to "signals".
        refusal: why it does not load its recipe again; empty where it does.
        asked: the requests that changed something.
        labelled: the labels that it was given.
    """

    def __init__(self) -> None:
        self.state: dict[str, Any] = {
            "state": "ready",
            "faults": [],
            "alarms": [],
            "check": None,
            "records": None,
            "recipe": {
                "active": None,
                "loading": None,
                "failure": None,
                "changed": 0,
                "failed": 0,
                "is_loading": False,
            },
            "identities": {},
            "pipeline": {
                "parts": 0,
                "late_results": 0,
                "refused_triggers": 0,
                "images_dropped": 0,
                "images_failed": 0,
                "faults": [],
                "stalled": [],
                "outputs": {"plc": {"is_up": True, "why": ""}},
            },
        }
        self.picture: dict[str, Any] = {"trigger_id": None}
        self.signals: dict[str, Any] = {}
        self.refusal = ""
        self.asked: list[str] = []
        self.labelled: list[LabelMessage] = []

    def listening(self, socket: Path) -> ControlSocket:
        """Returns the socket, to enter."""
        return ControlSocket(
            socket,
            {
                "state": Command(NoArguments, lambda _: self.state),
                "picture": Command(NoArguments, lambda _: self.picture),
                "recipe": Command(RecipeMessage, self._recipe),
                "check": Command(NoArguments, self._check),
                "label": Command(LabelMessage, self._label),
                "withdraw": Command(WithdrawMessage, self._withdraw),
                "signals": Command(NoArguments, lambda _: {"signals": self.signals}),
            },
        )

    def _recipe(self, request: RecipeMessage) -> dict[str, Any]:
        if request.number is not None:
            if request.number not in {1, 2}:
                raise LineError(f"no recipe {request.number}: known are 1, 2")
            self.asked.append(f"recipe {request.number}")
            self.state["recipe"]["active"] = request.number
        elif request.again and self.refusal:
            raise LineError(self.refusal)
        elif request.again:
            self.asked.append("recipe again")
        return {**self.state["recipe"], "numbers": [1, 2]}

    def _check(self, _request: NoArguments) -> dict[str, Any]:
        self.asked.append("check")
        return {"check": {"due": "show the golden part", "passed": 0, "failed": 0}}

    def _label(self, request: LabelMessage) -> dict[str, Any]:
        self.labelled.append(request)
        return {}

    def _withdraw(self, request: WithdrawMessage) -> dict[str, Any]:
        self.asked.append(
            f"withdraw {request.trigger_id} {request.author} {request.label} by {request.by}"
        )
        return {}
