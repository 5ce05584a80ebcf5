"""Open entries that survive the death of the process."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.part.journal import Journal


def entries(path: Path) -> dict[str, str]:
    journal = Journal(path)
    try:
        return journal.open()
    finally:
        journal.close()


def opened(path: Path, slack_bytes: int = 1 << 18) -> Journal:
    journal = Journal(path, slack_bytes)
    journal.open()
    return journal


def test_what_is_open_is_found_again_in_order(tmp_path: Path) -> None:
    journal = opened(tmp_path / "j")
    for name in ("a", "b", "c"):
        journal.add(name, f'{{"is": "{name}"}}')
    journal.settle(["b", "unknown"])
    journal.add("a", "new")
    assert set(entries(tmp_path / "j")) >= {"a", "c"}  # as after a kill: nothing was closed
    assert entries(tmp_path / "j")["a"] == "new"
    journal.settle(["a", "c"])
    assert (tmp_path / "j").read_bytes() == b""
    journal.close()


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=60))
def test_nothing_open_is_ever_missing(steps: list[tuple[int, bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "j")
        journal = opened(path, slack_bytes=40)
        model: dict[str, str] = {}
        for count, (number, is_new) in enumerate(steps):
            key = f"k{number}"
            if is_new:
                journal.add(key, f"value {count}")
                model[key] = f"value {count}"
            else:
                journal.settle([key])
                model.pop(key, None)
                open_bytes = sum(len(key) + len(entry) for key, entry in model.items())
                assert path.stat().st_size <= 2 * open_bytes + 40 + 20
            left = entries(path)
            assert {key: left[key] for key in model} == model
        journal.close()


def test_a_torn_end_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.write_bytes(b"a one\nno-gap\n\xff\xff x\nb tw")
    assert entries(path) == {"a": "one"}
    journal = opened(path)
    journal.add("c", "three")
    journal.close()
    assert entries(path) == {"a": "one", "c": "three"}


def test_a_full_disk_leaves_no_half_entry(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "j"
    journal = opened(path)
    journal.add("a", "one")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))  # bytes; SIGXFSZ is ignored
    try:
        with pytest.raises(OSError, match=r"No space left|too large"):
            journal.add("b", "a longer one")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == b"a one\n"
    journal.add("c", "three")
    journal.close()
    assert entries(path) == {"a": "one", "c": "three"}


def test_a_closed_journal_takes_nothing(tmp_path: Path) -> None:
    journal = opened(tmp_path / "j")
    journal.close()
    journal.close()
    with pytest.raises(OSError, match="not open"):
        journal.add("a", "one")
    with pytest.raises(OSError, match=os.strerror(2)):
        Journal(tmp_path / "nowhere" / "j").open()


@pytest.mark.parametrize("harm", ["removed", "renamed", "emptied", "replaced", "appended"])
@pytest.mark.parametrize("next_call", ["add", "settle"])
def test_a_file_that_somebody_harmed_is_written_anew(
    tmp_path: Path, harm: str, next_call: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "j"
    journal = opened(path)
    journal.add("a", "1")
    journal.add("b", "2")
    other = tmp_path / "other"
    other.write_text("x 9\n")
    harms: dict[str, Callable[[], object]] = {
        "removed": path.unlink,
        "renamed": lambda: path.rename(tmp_path / "old"),
        "emptied": lambda: os.truncate(path, 0),
        "replaced": lambda: other.replace(path),
        "appended": lambda: path.write_bytes(path.read_bytes() + b"x 9\n"),
    }
    harms[harm]()
    if next_call == "add":
        journal.add("c", "3")
        assert entries(path) == {"a": "1", "b": "2", "c": "3"}
    else:
        journal.settle(["a"])
        assert entries(path) == {"b": "2"}
    assert "somebody removed or changed it" in caplog.text
    caplog.clear()
    journal.add("d", "4")
    assert entries(path)["d"] == "4"
    assert not caplog.text
    journal.close()


def test_a_folder_that_is_gone_is_an_error_until_it_is_back(tmp_path: Path) -> None:
    folder = tmp_path / "records"
    folder.mkdir()
    journal = opened(folder / "j")
    journal.add("a", "1")
    folder.rename(tmp_path / "gone")
    with pytest.raises(FileNotFoundError):
        journal.add("b", "2")
    folder.mkdir()
    journal.add("c", "3")
    assert entries(folder / "j") == {"a": "1", "c": "3"}
    journal.close()
