"""Notes wait for no disk, and nothing that is open is missing in the journal."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.part.journal import Journal
from edge.store.notes import Notes
from tests.doubles.disk import Disk
from tests.doubles.waiting import wait_for

GENEROUS_S = 30.0


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk(monkeypatch)
    yield disk
    disk.answers.set()


@pytest.fixture
def notes(tmp_path: Path, disk: Disk) -> Iterator[Notes]:
    notes = Notes(tmp_path / "j")
    notes.open()
    yield notes
    disk.answers.set()
    notes.close(GENEROUS_S)


def left(path: Path) -> dict[str, str]:
    journal = Journal(path)
    try:
        return journal.open()
    finally:
        journal.close()


def test_who_must_know_is_told_when_the_entry_is_written(notes: Notes, tmp_path: Path) -> None:
    found: list[dict[str, str]] = []
    notes.add("a", lambda: "one", lambda: found.append(left(tmp_path / "j")))
    wait_for(lambda: found == [{"a": "one"}])


def test_a_disk_that_hangs_keeps_nobody_waiting(
    notes: Notes, disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.store.notes._SLOW_S", 0.05)
    told: list[str] = []
    disk.answers.clear()
    notes.add("a", lambda: "one", lambda: told.append("a"))
    wait_for(lambda: notes.slow)
    notes.add("b", lambda: "two", lambda: told.append("b"))
    notes.add("c", lambda: "three", lambda: told.append("c"))
    notes.add("c", lambda: "four", lambda: told.append("c again"))
    notes.settle(["a", "b", "never there"])
    assert told == []
    slow = "the disk did not answer for 0.05 s, no trigger can be noted"
    assert notes.slow == f"{tmp_path / 'j'}: {slow}"
    disk.answers.set()
    wait_for(lambda: told == ["a", "b", "c", "c again"])
    assert left(tmp_path / "j") == {"c": "four"}
    wait_for(lambda: notes.slow is None)
    assert notes.failure is None


def test_a_disk_that_hangs_does_not_hold_the_end(notes: Notes, disk: Disk, tmp_path: Path) -> None:
    disk.answers.clear()
    notes.add("a", lambda: "one")
    notes.close(0.05)
    disk.answers.set()
    notes.close(GENEROUS_S)
    assert left(tmp_path / "j") == {"a": "one"}


def test_a_full_disk_is_told_and_nobody_waits_for_it(
    notes: Notes, disk: Disk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []
    disk.is_full = True
    for key in "ab":
        notes.add(key, lambda: "lost", partial(told.append, key))
    wait_for(lambda: told == ["a", "b"])
    assert notes.failure == "[Errno 28] No space left on device"
    assert caplog.text.count("triggers cannot be noted, and are lost if the process dies now") == 1
    disk.is_full = False
    notes.add("b", lambda: "two", lambda: told.append("b again"))
    wait_for(lambda: told[2:] == ["b again"])
    assert notes.failure is None
    assert left(tmp_path / "j") == {"b": "two"}


def test_notes_that_cannot_be_closed_are_another_failure_than_those_that_cannot_be_written(
    notes: Notes, disk: Disk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_journal: Journal, _keys: Iterable[str]) -> None:
        raise OSError(5, "Input/output error")

    def add(key: str) -> None:
        told = threading.Event()
        notes.add(key, lambda: "entry", told.set)
        assert told.wait(GENEROUS_S)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "settle", fail)
        add("a")
        notes.settle(["a"])
        add("b")  # after it: an entry that can be written mends nothing
        assert notes.failure == "[Errno 5] Input/output error"
        disk.is_full = True
        add("c")
        assert notes.failure == "[Errno 28] No space left on device"
        disk.is_full = False
        add("d")
        assert notes.failure == "[Errno 5] Input/output error"
    notes.settle(["b"])
    wait_for(lambda: notes.failure is None)
    said = [message.split(": ", 1)[1] for message in caplog.messages]
    assert said == [
        (
            "notes cannot be closed: it grows, and the next start looks for their records again: "
            "[Errno 5] Input/output error"
        ),
        (
            "triggers cannot be noted, and are lost if the process dies now: "
            "[Errno 28] No space left on device"
        ),
    ]


def test_a_receiver_that_fails_ends_the_notes_of_no_other_part(
    notes: Notes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told = threading.Event()
    notes.add("a", lambda: "one", lambda: 1 / 0)  # type: ignore[arg-type]
    wait_for(lambda: "its receiver failed" in caplog.text)
    notes.add("b", lambda: "two", told.set)
    assert told.wait(GENEROUS_S)
    assert left(tmp_path / "j") == {"a": "one", "b": "two"}
    assert "ZeroDivisionError" in caplog.text


def test_what_cannot_be_opened_takes_nothing_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    notes = Notes(tmp_path / "nowhere" / "j")
    with pytest.raises(FileNotFoundError):
        notes.open()
    told = threading.Event()
    notes.add("a", lambda: "one", told.set)
    assert told.wait(GENEROUS_S)
    assert "the journal is not open" in (notes.failure or "")
    notes.close(GENEROUS_S)


@settings(deadline=None)  # a thread has to be started and ended, on a machine that is busy
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=40))
def test_what_is_open_at_the_end_is_found_again(steps: list[tuple[int, bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "j")
        path.write_text("k0 left\n")
        notes, model = Notes(path), {"k0": "left"}
        assert notes.open() == model
        for count, (number, is_new) in enumerate(steps):
            key = f"k{number}"
            if is_new:
                model[key] = f"value {count}"
                notes.add(key, partial(str, model[key]))
            else:
                model.pop(key, None)
                notes.settle([key])
        notes.close(GENEROUS_S)
        kept = left(path)
        assert {key: kept[key] for key in model} == model
        assert model or not kept
