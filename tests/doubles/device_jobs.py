"""Jobs of the panel on a device: asked for and read as the panel does it, as the panel's user."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from edge.panel.jobs import State
from tests.doubles.device import LIVE, PANEL_USER
from tests.doubles.nspawn import Machine, wait_until

JOBS_UNIT = "linewarden-jobs.service"
_FOLDER = "/var/lib/linewarden-panel/jobs"
_PANEL = f"""\
import json, sys
from pathlib import Path
from edge.panel.jobs import Asked, Jobs
jobs = Jobs(Path("{_FOLDER}"), wakes=False)
words = json.loads(sys.argv[1])
if isinstance(words, list):
    asked = Asked(subject=words[-1], kind="teach", words=words, limit_s=3600, by="admin")
    print(json.dumps(jobs.start(asked).name))
else:
    job = jobs.find(words)
    code = job.ended.exit_code if job.ended else None
    print(json.dumps({{"state": job.state, "exit_code": code, "log": job.tail()}}))
"""


class DeviceJob(NamedTuple):
    """A job as the panel reads it."""

    state: State
    exit_code: int | None
    log: list[str]


class DeviceJobs:
    """The jobs of a device.

    Args:
        path: of Python, where the program is not installed.
    """

    def __init__(self, machine: Machine, path: str = "") -> None:
        self._machine = machine
        self._path = path

    def ask(self, *words: str) -> str:
        """Puts a command line of `linewarden` into the queue, and returns the name of the job.

        Its last word is the subject, of which one job is open.
        """
        return str(self._as_panel(words))

    def find(self, name: str) -> DeviceJob:
        """Returns a job as it is now."""
        found: dict[str, Any] = self._as_panel(name)
        return DeviceJob(State(found["state"]), found["exit_code"], found["log"])

    def wait_for(self, name: str, state: State, limit_s: float = 120.0) -> DeviceJob:
        """Waits until a job is in a state."""
        wait_until(lambda: self.find(name).state is state, limit_s)
        return self.find(name)

    def processes(self) -> tuple[str, str]:
        """Waits for a job, and returns the process ids of the runner and of the job."""
        runner = self._machine.show(JOBS_UNIT, "MainPID")
        of_runner = ("pgrep", "--parent", runner)
        wait_until(lambda: self._machine.run(*of_runner, check=False))
        return runner, self._machine.run(*of_runner).strip()

    def wait_for_end(self, *pids: str) -> None:
        """Waits until none of these processes is there."""
        there = ("ps", "-o", "pid=", "-p", ",".join(pids))
        wait_until(lambda: not self._machine.run(*there, check=False))

    def _as_panel(self, words: str | Sequence[str]) -> Any:
        user = ("runuser", "--user", PANEL_USER, "--", "env", f"PYTHONPATH={self._path}")
        program = (f"{LIVE}/bin/python", "-c", _PANEL)
        return json.loads(self._machine.run(*user, *program, json.dumps(words)))
