"""The program itself as a process: for work that the panel has neither packages nor memory for."""

from __future__ import annotations

import subprocess
import sys

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
            timeout=within_s,
            umask=UMASK,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LinewardenError(f"linewarden {words[0]} {words[1]}: {error}") from error
    if done.returncode != 0:
        raise LinewardenError(done.stderr.rpartition(_SAID_BY)[2].strip())
    return done.stdout
