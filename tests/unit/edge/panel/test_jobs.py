"""Jobs of the panel: one after another, on their own, found again, cancelled, bounded."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from edge.panel.job_runner import main
from edge.panel.jobs import BEGUN, LOG, QUEUE, Asked, Job, Jobs, Queue, State
from edge.panel.refusals import Refused
from inspection.files import locked, write_text
from tests.doubles.line_folder import GENEROUS_S
from tests.doubles.waiting import wait_for

SAYS = ["--help"]
SECOND = timedelta(seconds=1)
FAILS = ["inspect", "--bundle", "none", "none.png"]


def asked(*words: str, subject: str = "teach:flange", limit_s: float = 60.0) -> Asked:
    return Asked(
        subject=subject,
        kind="teach",
        words=list(words),
        limit_s=limit_s,
        by="engineer",
        moment=datetime.now(timezone.utc),
    )


def ended(jobs: Jobs, job: Job) -> Job:
    wait_for(lambda: not jobs.find(job.name).is_open, GENEROUS_S)
    return jobs.find(job.name)


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    """Jobs whose runner has ended when the test ends."""
    jobs = Jobs(tmp_path / "jobs", wakes=True)
    yield jobs
    for job in jobs.of("teach:flange"):
        jobs.cancel(job.name)
    wait_for(lambda: not jobs.has_runner, GENEROUS_S)


@pytest.fixture
def forever(tmp_path: Path) -> list[str]:
    """A command that runs until somebody ends it."""
    line = tmp_path / "forever.yaml"
    line.write_text("lines: {line: line.yaml}\nport: 0\nfolder: other\n")
    return ["panel", "--config", str(line)]


@pytest.mark.usefixtures("private_umask")
def test_a_job_runs_on_its_own_at_the_lowest_priority(
    jobs: Jobs, forever: list[str], tmp_path: Path
) -> None:
    job = jobs.start(asked(*forever))
    wait_for(lambda: "the panel is at" in " ".join(jobs.find(job.name).tail()), GENEROUS_S)
    assert jobs.find(job.name).state is State.RUNNING
    (pid,) = processes(str(tmp_path / "forever.yaml"))
    assert os.getpriority(os.PRIO_PROCESS, pid) == 19
    assert os.getsid(pid) != os.getsid(0)
    # The line, which has another user, reads what the job writes.
    assert "Umask:\t0022" in Path(f"/proc/{pid}/status").read_text()
    # Another panel, on the same folder, finds it and ends it.
    other = Jobs(tmp_path / "jobs", wakes=True)
    assert [one.name for one in other.of("teach:flange")] == [job.name]
    other.cancel(job.name)
    assert ended(jobs, job).state is State.CANCELLED
    assert processes(str(tmp_path / "forever.yaml")) == []


def processes(word: str) -> list[int]:
    """Returns the processes with a word in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if word.encode() in words:
            found.append(int(path.parent.name))
    return found


def test_a_job_ends_with_its_log_and_its_exit_code(jobs: Jobs) -> None:
    good, bad = jobs.start(asked(*SAYS)), jobs.start(asked(*FAILS, subject="try:flange"))
    assert ended(jobs, good).state is State.DONE
    assert "usage: linewarden COMMAND [options]" in jobs.find(good.name).tail()
    failed = ended(jobs, bad)
    assert (failed.state, failed.ended and failed.ended.exit_code) == (State.FAILED, 4)
    assert "none: no such bundle" in failed.tail()[-1]


def test_there_is_one_open_job_of_a_subject(jobs: Jobs, forever: list[str]) -> None:
    first = jobs.start(asked(*forever))
    with pytest.raises(Refused) as caught:
        jobs.start(asked(*SAYS))
    assert (caught.value.status, caught.value.text) == (409, "problem.job_open")
    waiting = jobs.start(asked(*SAYS, subject="try:flange"))
    wait_for(lambda: jobs.find(first.name).state is State.RUNNING, GENEROUS_S)
    assert jobs.find(waiting.name).state is State.WAITING
    jobs.cancel(waiting.name)
    # At once, while the other runs, so that its subject is free.
    assert jobs.find(waiting.name).state is State.CANCELLED
    again = jobs.start(asked(*SAYS, subject="try:flange"))
    assert jobs.find(first.name).state is State.RUNNING
    jobs.cancel(first.name)
    assert ended(jobs, again).state is State.DONE
    assert jobs.find(waiting.name).tail() == []


def test_a_job_that_is_cancelled_as_the_runner_takes_it_never_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = Jobs(tmp_path / "jobs", wakes=False)
    job = jobs.start(asked(*SAYS))

    def cancelling(path: Path, content: str) -> None:
        write_text(path, content)
        if path.name == BEGUN:
            jobs.cancel(job.name)

    monkeypatch.setattr("edge.panel.job_runner.write_text", cancelling)
    assert main([str(tmp_path / "jobs")]) == 0
    assert jobs.find(job.name).state is State.CANCELLED
    assert not (job.folder / LOG).exists()
    assert list((tmp_path / "jobs" / QUEUE).iterdir()) == []


def test_a_job_that_takes_too_long_is_ended(jobs: Jobs, forever: list[str]) -> None:
    job = ended(jobs, jobs.start(asked(*forever, limit_s=0.1)))
    assert job.state is State.TOO_LONG
    assert job.ended is not None
    assert job.ended.why == "limit"


def test_a_job_that_is_killed_says_so_in_its_log(
    jobs: Jobs, forever: list[str], tmp_path: Path
) -> None:
    job = jobs.start(asked(*forever))
    wait_for(lambda: jobs.find(job.name).tail(), GENEROUS_S)
    for pid in processes(str(tmp_path / "forever.yaml")):
        os.kill(pid, signal.SIGKILL)
    killed = ended(jobs, job)
    assert (killed.state, killed.ended and killed.ended.exit_code) == (State.FAILED, -9)
    assert killed.tail()[-1] == "ended by SIGKILL: perhaps by the kernel, for lack of memory"


def test_a_killed_runner_takes_its_job_along_and_the_next_one_goes_on(
    jobs: Jobs, forever: list[str], tmp_path: Path
) -> None:
    lost = jobs.start(asked(*forever))
    wait_for(lambda: len(processes(str(tmp_path / "forever.yaml"))) == 1, GENEROUS_S)
    next_one = jobs.start(asked(*SAYS, subject="try:flange"))
    for pid in processes(str(tmp_path / "jobs")):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: jobs.find(lost.name).state is State.LOST, GENEROUS_S)
    wait_for(lambda: processes(str(tmp_path / "forever.yaml")) == [], GENEROUS_S)
    jobs.of("try:flange")  # a page that looks wakes the next runner
    assert ended(jobs, next_one).state is State.DONE
    assert jobs.find(lost.name).state is State.LOST


def test_where_a_service_runs_the_jobs_the_panel_starts_none(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path / "jobs", wakes=False)
    job = jobs.start(asked(*SAYS))
    assert (jobs.find(job.name).state, jobs.has_runner) == (State.WAITING, False)
    with locked(tmp_path / "jobs/runner.lock", "jobs"):
        assert jobs.has_runner
        assert main([str(tmp_path / "jobs")]) == 0  # another runner is at work
    assert jobs.find(job.name).state is State.WAITING


def test_a_job_that_waits_says_what_is_before_it(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path / "jobs", wakes=False)
    before = datetime.now(timezone.utc) - timedelta(minutes=1)
    first, second, third = [
        jobs.start(asked(*SAYS, subject=str(n)).model_copy(update={"moment": before + n * SECOND}))
        for n in range(3)
    ]
    assert jobs.queue_before(third) == Queue(running=None, waiting=2, is_still=True)
    (first.folder / BEGUN).write_text(json.dumps({"moment": "2026-11-29T12:00:00Z"}))
    with locked(tmp_path / "jobs/runner.lock", "jobs"):
        queue = jobs.queue_before(third)
        assert queue is not None
        assert queue.running is not None
        assert (queue.running.name, queue.waiting, queue.is_still) == (first.name, 1, False)
        assert jobs.queue_before(jobs.find(first.name)) is None
    jobs.cancel(second.name)
    assert jobs.queue_before(jobs.find(second.name)) is None
    assert jobs.queue_before(None) is None


def test_a_job_that_was_begun_and_never_ended_is_lost(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path / "jobs", wakes=False)
    job = jobs.start(asked(*SAYS))
    (job.folder / BEGUN).write_text(json.dumps({"moment": "2026-11-29T12:00:00Z"}))
    assert jobs.find(job.name).state is State.LOST
    assert main([str(tmp_path / "jobs")]) == 0
    assert list((tmp_path / "jobs" / QUEUE).iterdir()) == []
    assert jobs.start(asked(*SAYS)).state is State.WAITING


@pytest.mark.parametrize("name", ["", "..", "queue", "20261129T999999", "../../etc"])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    jobs = Jobs(tmp_path / "jobs", wakes=False)
    with pytest.raises(Refused):
        jobs.find(name)


def test_the_log_shows_the_last_state_of_a_line_that_rewrites_itself(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path / "jobs", wakes=False)
    job = jobs.start(asked(*SAYS))
    (job.folder / "log").write_text("first\ntrain: 1 %\rtrain: 2 %\rtrain: 3 %")
    assert job.tail() == ["first", "train: 3 %"]
