"""Runs the jobs of a panel one after another, at the lowest priority: see `edge.panel.jobs`.

    python -m edge.panel.job_runner [--detach] FOLDER

It ends when nothing waits. With --detach the call returns at once, and the runner belongs to
nobody: it lives on when the panel is killed. Under systemd, `linewarden-jobs.service` is the
runner: a process that the panel starts would end with the panel's unit, and have its limits.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import IO

from edge.panel.command import UMASK
from edge.panel.jobs import (
    ASKED,
    BEGUN,
    CANCEL,
    CANCELLED,
    ENDED,
    LOG,
    LOST,
    QUEUE,
    RUNNER_LOCK,
    TOO_LONG,
    Asked,
    Begun,
    Ended,
)
from inspection.errors import BundleError
from inspection.files import locked, write_text

_LOWEST = 19  # priority
_LOCK_WAIT_S = 2.0  # somebody who only looks holds the lock for an instant
_LOOK_S = 0.2
_GRACE_S = 10.0
_LOG_MAX_BYTES = 1_000_000
_BLOCK = 65_536
_PR_SET_PDEATHSIG = 1  # of prctl(2)


def main(words: list[str]) -> int:
    """Runs what waits."""
    if words[0] == "--detach":
        words = words[1:]
        if os.fork():
            return 0
    folder = Path(words[0])
    # A job that comes between the last look and the end of the lock finds no other runner to wake.
    while _waiting(folder):
        try:
            with locked(folder / RUNNER_LOCK, str(folder), wait_s=_LOCK_WAIT_S):
                _work(folder)
        except BundleError:
            return 0  # another runner is at work
    return 0


def _waiting(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / QUEUE).iterdir() if path.name.isalnum())


def _work(folder: Path) -> None:
    _end_lost(folder)
    while names := _waiting(folder):
        job, mark = folder / names[0], folder / QUEUE / names[0]
        if (job / ASKED).exists() and not (job / BEGUN).exists():
            write_text(job / BEGUN, Begun(moment=_now()).model_dump_json())
            mark.unlink(missing_ok=True)  # `Jobs.cancel` takes it too
            write_text(job / ENDED, _run(job).model_dump_json())
        else:
            mark.unlink(missing_ok=True)  # begun by an earlier runner, or gone


def _end_lost(folder: Path) -> None:
    """Ends the jobs of a runner that was killed: whoever has the lock now runs none of them."""
    for begun in folder.glob(f"*/{BEGUN}"):
        if not (begun.parent / ENDED).exists():
            end = Ended(moment=_now(), exit_code=None, why=LOST)
            write_text(begun.parent / ENDED, end.model_dump_json())


def _run(job: Path) -> Ended:
    if (job / CANCEL).exists():
        return Ended(moment=_now(), exit_code=None, why=CANCELLED)
    asked = Asked.model_validate_json((job / ASKED).read_bytes())
    process = subprocess.Popen(  # noqa: S603 - the program itself
        [sys.executable, "-m", "linewarden", *asked.words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
        umask=UMASK,
        preexec_fn=_give_way_and_end_with_the_runner,  # noqa: PLW1509 - no other thread works
    )
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    log = threading.Thread(target=_write_log, args=(process.stdout, job), daemon=True)
    log.start()
    why = _follow(process, job, time.monotonic() + asked.limit_s)
    _signal_group(process, signal.SIGKILL)  # what it has started and left behind
    log.join(_GRACE_S)
    if process.returncode < 0 and not why:
        _append(job, _killed(-process.returncode))
    return Ended(moment=_now(), exit_code=process.returncode, why=why)


def _follow(process: subprocess.Popen[bytes], job: Path, until_s: float) -> str:
    """Waits for the end of the process; returns why it was ended, or nothing."""
    why, kill_s = "", float("inf")
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK_S)
            return why
        now_s, is_cancelled = time.monotonic(), (job / CANCEL).exists()
        if not why and (is_cancelled or now_s > until_s):
            why = CANCELLED if is_cancelled else TOO_LONG
            kill_s = now_s + _GRACE_S
            _signal_group(process, signal.SIGTERM)
        if now_s > kill_s:
            _signal_group(process, signal.SIGKILL)


def _write_log(output: IO[bytes], job: Path) -> None:
    """Writes what the process says: the newest part of it, however much it is."""
    while block := os.read(output.fileno(), _BLOCK):
        _append(job, block)


def _append(job: Path, block: bytes) -> None:
    path = job / LOG
    # On a full disk the job goes on without a log: it may be the one that makes room.
    with contextlib.suppress(OSError):
        if path.exists() and path.stat().st_size > _LOG_MAX_BYTES:
            path.replace(job / f"{LOG}.old")
        with path.open("ab") as stream:
            stream.write(block)


def _killed(number: int) -> bytes:
    """Returns the last line of the log of a process that another one ended."""
    name = signal.Signals(number).name
    why = ": perhaps by the kernel, for lack of memory" if number == signal.SIGKILL else ""
    return f"\nended by {name}{why}\n".encode()


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _give_way_and_end_with_the_runner() -> None:
    os.setpriority(os.PRIO_PROCESS, 0, _LOWEST)
    # The kernel ends the job when the runner is killed: nobody else would know of it.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _now() -> datetime:
    return datetime.now(timezone.utc)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
