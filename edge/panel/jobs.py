"""Jobs: commands of `linewarden` that outlive the page that asked for them, and the panel.

A job is a folder. The panel writes `asked.json` there, and its name in the folder `queue`. A runner
(`edge.panel.job_runner`), a process that is not a child of the panel, takes one after another at
the lowest priority, and writes `begun.json`, `log` and `ended.json`. These files are all that is
known of a job, so that any panel finds it again. The file `cancel` asks for its end.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

from pydantic import BaseModel, Field

from edge.panel.refusals import Refused
from inspection.errors import LinewardenError
from inspection.files import write_text

QUEUE, RUNNER_LOCK = "queue", "runner.lock"
ASKED, BEGUN, ENDED, CANCEL, LOG = "asked.json", "begun.json", "ended.json", "cancel", "log"
CANCELLED, TOO_LONG, LOST = "cancelled", "limit", "lost"  # the reasons of `Ended`

M = TypeVar("M", bound=BaseModel)

_KEPT = 20  # ended jobs of a subject
_TAIL_BYTES = 16_384
_START_S = 20.0
_STILL_S = 10.0
_WAITING_MAX = 20


class State(str, Enum):
    """The state of a job.

    TOO_LONG: it was ended at its limit. LOST: its runner ended without a word, as by a power cut.
    """

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    TOO_LONG = "limit"
    CANCELLED = "cancelled"
    LOST = "lost"


class Asked(BaseModel):
    """What a person asks for.

    Attributes:
        subject: there is one job of a subject at a time.
        kind: key of its text, such as "teach".
        words: of the command line, after `linewarden`.
        limit_s: it is ended after so long.
    """

    subject: str
    kind: str
    words: Annotated[list[str], Field(min_length=1)]
    limit_s: float
    by: str
    moment: datetime = Field(default_factory=partial(datetime.now, timezone.utc))


class Begun(BaseModel):
    """The beginning of a job."""

    moment: datetime


class Ended(BaseModel):
    """The end of a job.

    Attributes:
        exit_code: of the command; negative for a signal; None when it was not started.
        why: CANCELLED, TOO_LONG, LOST as the next runner finds it, or empty when it ended by
            itself.
    """

    moment: datetime
    exit_code: int | None
    why: str = ""


class Job(NamedTuple):
    """A job as it is now. `begun` and `ended` are None before."""

    name: str
    folder: Path
    asked: Asked
    begun: Begun | None
    ended: Ended | None
    state: State

    @property
    def is_open(self) -> bool:
        """Whether it waits or runs."""
        return self.state in {State.WAITING, State.RUNNING}

    @property
    def seconds(self) -> float:
        """How long it has run."""
        if self.begun is None:
            return 0.0
        until = self.ended.moment if self.ended is not None else datetime.now(timezone.utc)
        return (until - self.begun.moment).total_seconds()

    def tail(self) -> list[str]:
        """Returns the newest lines of its log; the last state of a line that rewrites itself."""
        with contextlib.suppress(FileNotFoundError), (self.folder / LOG).open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - _TAIL_BYTES))
            text = stream.read().decode(errors="replace")
            lines = [line.rpartition("\r")[2] for line in text.replace("\r\n", "\n").split("\n")]
            return [line for line in lines if line]
        return []


class Queue(NamedTuple):
    """What is before a job that waits.

    Attributes:
        running: the job that runs now; None for none.
        waiting: jobs that waited earlier.
        is_still: whether nothing has taken a job for some seconds: no runner is at work.
    """

    running: Job | None
    waiting: int
    is_still: bool


class Jobs:
    """The jobs in a folder. Safe for threads.

    Args:
        folder: of the panel; made where it is missing.
        wakes: whether a runner is started from here; otherwise another service watches the queue.
    """

    def __init__(self, folder: Path, *, wakes: bool) -> None:
        self._folder = folder
        self._wakes = wakes
        self._changing = threading.Lock()
        (folder / QUEUE).mkdir(parents=True, exist_ok=True)

    def start(
        self,
        asked: Asked,
        prepare: Callable[[], object] = lambda: None,
        discard: Callable[[], object] = lambda: None,
    ) -> Job:
        """Puts a job into the queue.

        Args:
            prepare: called when nothing refuses the job, before it comes into the queue.
            discard: removes what was made for the job; called when it does not come into the queue.

        Raises:
            Refused: a job of this subject is open, or too many wait.
            OSError: it cannot be written; nothing was started.
            LinewardenError: the runner does not start; the job waits.
        """
        try:
            with self._changing:
                name = self._queue(asked, prepare)
            self._wake()
        except (Refused, OSError):  # after any other error the job waits, and needs what was made
            discard()
            raise
        return self.find(name)

    def _queue(self, asked: Asked, prepare: Callable[[], object]) -> str:
        jobs = list(self._all())
        if any(job.is_open and job.asked.subject == asked.subject for job in jobs):
            raise Refused(409, "problem.job_open")
        if sum(job.is_open for job in jobs) >= _WAITING_MAX:
            raise Refused(409, "problem.jobs_full", max=_WAITING_MAX)
        self._forget(job for job in jobs if job.asked.subject == asked.subject)
        name = f"{asked.moment:%Y%m%dT%H%M%S%f}"
        folder = self._folder / name
        prepare()
        folder.mkdir()
        write_text(folder / ASKED, asked.model_dump_json())
        write_text(self._folder / QUEUE / name, "")
        return name

    def cancel(self, name: str) -> None:
        """Asks for the end of a job; one that waits ends now, one that has ended stays as it is."""
        job = self.find(name)
        if not job.is_open:
            return
        # First: a runner takes the job out of the queue before it looks for this file, so that
        # whoever finds the job in the queue below knows that it never runs.
        write_text(job.folder / CANCEL, "")
        with contextlib.suppress(FileNotFoundError):
            (self._folder / QUEUE / name).unlink()
            ended = Ended(moment=datetime.now(timezone.utc), exit_code=None, why=CANCELLED)
            write_text(job.folder / ENDED, ended.model_dump_json())

    def find(self, name: str) -> Job:
        """Returns a job.

        Raises:
            Refused: there is none of this name.
        """
        job = self._read(name, had_runner=self.has_runner) if name.isalnum() else None
        if job is None:
            raise Refused(404, "problem.no_job")
        return job

    def of(self, subject: str) -> list[Job]:
        """Returns the jobs of a subject, the newest first; starts a runner for those that wait."""
        found = [job for job in self._all() if job.asked.subject == subject]
        if any(job.state is State.WAITING for job in found):
            self._wake()
        return found

    def newest(self, subject: str, word: str) -> Job | None:
        """Returns the newest job of a subject with a word in its command line; None without one."""
        return next((job for job in self.of(subject) if word in job.asked.words), None)

    def open(self, subject: str) -> Job | None:
        """Returns the job of a subject that waits or runs; None without one."""
        return next((job for job in self.of(subject) if job.is_open), None)

    def queue_before(self, job: Job | None) -> Queue | None:
        """Returns what is before a job; None for one that does not wait."""
        if job is None or job.state is not State.WAITING:
            return None
        others = [one for one in self._all() if one.is_open and one.name != job.name]
        waited_s = (datetime.now(timezone.utc) - job.asked.moment).total_seconds()
        return Queue(
            running=next((one for one in others if one.state is State.RUNNING), None),
            waiting=sum(one.state is State.WAITING and one.name < job.name for one in others),
            is_still=waited_s > _STILL_S and not self.has_runner,
        )

    def _all(self) -> Iterator[Job]:
        names = sorted((path.name for path in self._folder.iterdir()), reverse=True)
        had_runner = self.has_runner
        for name in names:
            job = self._read(name, had_runner=had_runner) if name[:1].isdigit() else None
            if job is not None:
                yield job

    def _read(self, name: str, *, had_runner: bool) -> Job | None:
        """Reads a job.

        Args:
            had_runner: from before, because a runner lets go after it has written the end.
        """
        folder = self._folder / name
        asked = _file(folder / ASKED, Asked)
        if asked is None:
            return None
        is_queued = (self._folder / QUEUE / name).exists()
        begun, ended = _file(folder / BEGUN, Begun), _file(folder / ENDED, Ended)
        if ended is not None:
            state = _end_of(ended)
        elif begun is not None:
            state = State.RUNNING if had_runner or self.has_runner else State.LOST
        else:
            state = State.WAITING if is_queued else State.LOST
        return Job(name, folder, asked, begun, ended, state)

    @property
    def has_runner(self) -> bool:
        """Whether a runner works on the queue."""
        return is_held(self._folder / RUNNER_LOCK)

    def _wake(self) -> None:
        """Starts a runner that outlives this process; one that finds another at work ends."""
        if not self._wakes or self.has_runner:
            return
        words = [sys.executable, "-m", "edge.panel.job_runner", "--detach", str(self._folder)]
        try:
            subprocess.run(  # noqa: S603 - the program itself; its child lives on its own
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_START_S,
                check=True,
                start_new_session=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise LinewardenError(
                f"the process that runs the jobs does not start ({error}); the job waits: look "
                "at the page again, or restart the panel"
            ) from error

    def _forget(self, jobs: Iterator[Job]) -> None:
        for job in [job for job in jobs if not job.is_open][_KEPT - 1 :]:
            shutil.rmtree(job.folder, ignore_errors=True)


def is_held(lock: Path) -> bool:
    """Returns whether a process holds a lock file."""
    try:
        descriptor = os.open(lock, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _end_of(ended: Ended) -> State:
    if ended.why:
        return State(ended.why)
    return State.DONE if ended.exit_code == 0 else State.FAILED


def _file(path: Path, model: type[M]) -> M | None:
    """Returns the content of a file that is there whole or not at all."""
    try:
        return model.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
