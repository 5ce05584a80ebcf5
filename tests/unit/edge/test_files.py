"""Atomic writing: whatever happens, the old content or the new one."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge.files import TEMPORARY_PREFIX, new_directory, sha256_of, write_bytes, write_text


def test_content_is_replaced_and_nothing_is_left(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "old")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]
    assert sha256_of(path) == "11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437"


def test_a_directory_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    with pytest.raises(ZeroDivisionError), new_directory(target) as folder:  # noqa: PT012
        (folder / "one").write_text("1")
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == []
    with new_directory(target) as folder:
        (folder / "one").write_text("1")
        assert not target.exists()
    assert (target / "one").read_text() == "1"


def test_an_existing_directory_stays_unless_it_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(FileExistsError), new_directory(target):
        pass
    with new_directory(target, replace=True) as folder:
        (folder / "new").touch()
    assert [path.name for path in target.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    script = (
        "import os, signal, sys; from pathlib import Path; from edge.files import new_directory\n"
        "with new_directory(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').touch(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(target)], check=False)
    assert killed.returncode == -signal.SIGKILL
    (leftover,) = tmp_path.iterdir()
    assert leftover.name.startswith(TEMPORARY_PREFIX)
    with new_directory(target):
        pass
    assert list(tmp_path.iterdir()) == [target]
