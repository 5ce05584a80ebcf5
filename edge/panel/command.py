"""The program itself as a process: for work that the panel has neither packages nor memory for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from inspection.errors import LinewardenError

_LIMIT_S = 120.0  # a command may verify every file of a bundle
UMASK = 0o022  # lines have another user, and must read the files of the panel
_SAID_BY = "linewarden: "  # begins the message of an error


def linewarden(*words: object, within_s: float = _LIMIT_S) -> str:
    """Runs a command, and returns what it prints.

    Raises:
        LinewardenError: the command fails, with its own message, or takes too long.
    """
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and command, and no shell
            [sys.executable, "-m", "linewarden", *map(str, words)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=within_s,
            umask=UMASK,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LinewardenError(f"{_short(words)}: {error}") from error
    if done.returncode != 0:
        raise LinewardenError(failure_of(words, done))
    return done.stdout


def failure_of(words: Sequence[object], done: subprocess.CompletedProcess[str]) -> str:
    """Returns why a command failed: its own message, or how it ended when it could say none."""
    said = done.stderr.strip().splitlines()
    begins = [place for place, line in enumerate(said) if line.startswith(_SAID_BY)]
    if begins:
        return "\n".join(said[begins[-1] :]).removeprefix(_SAID_BY)
    last = said[-1] if said else "it said nothing"
    return f"{_short(words)} ended with {done.returncode}: {last}"


def _short(words: Sequence[object]) -> str:
    return " ".join(["linewarden", *map(str, words[:2])])
