"""Trials of layouts: `linewarden layout` as a process of low priority and bounded time.

The panel itself opens no engine and measures nothing. One trial runs at a time, on one thread.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.panel.command import failure_of
from inspection.errors import BundleError

TRIAL_S = 600
_KILL_S = 5
_TOO_LONG = 124  # exit code of `timeout`
_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OPENCV_FOR_THREADS_NUM": "1",
}


@dataclass
class TrialState:
    """A trial. `failure` is empty while it runs and when it is done."""

    is_running: bool = True
    failure: str = ""


class Trials:
    """The trials since the panel's start, by the file that each writes. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._states: dict[Path, TrialState] = {}

    def state(self, outcome: Path) -> TrialState:
        """Returns the state of a trial; one that was never begun is not running."""
        with self._lock:
            return self._states.get(outcome, TrialState(is_running=False))

    def begin(self, words: Sequence[object], outcome: Path, prepare: Callable[[], object]) -> None:
        """Begins a trial.

        Args:
            words: of `linewarden`.
            outcome: the file that it writes.
            prepare: writes what belongs to the trial; called when no other one runs.

        Raises:
            BundleError: another one runs.
        """
        with self._lock:
            if any(one.is_running for one in self._states.values()):
                raise BundleError("another trial runs: wait until it is done")
            outcome.unlink(missing_ok=True)
            prepare()
            state = self._states[outcome] = TrialState()
        threading.Thread(target=_follow, args=(words, state), name="trial", daemon=True).start()


def _follow(words: Sequence[object], state: TrialState) -> None:
    try:
        state.failure = _failure(words, TRIAL_S)
    finally:
        state.is_running = False


def _failure(words: Sequence[object], within_s: int) -> str:
    """Runs a command; returns why it failed, or nothing.

    `timeout` ends it even when the panel has died meanwhile.
    """
    bounded = ["timeout", "-k", str(_KILL_S), str(within_s), "nice", "-n", "19"]
    done = subprocess.run(  # noqa: S603 - words of the panel, and no shell
        [*bounded, sys.executable, "-m", "linewarden", *map(str, words)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, **_ONE_THREAD},
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode == 0:
        return ""
    if done.returncode == _TOO_LONG:
        return f"it took longer than {within_s} s: give fewer good parts, or run it by hand"
    return failure_of(words, done)
