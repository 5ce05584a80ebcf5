"""Tests that a file always has the old content or the new content."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from inspection.errors import BundleError
from inspection.files import (
    TEMPORARY_PREFIX,
    locked,
    new_directory,
    point_link,
    sha256_of,
    write_bytes,
    write_text,
)

ROOT = Path(__file__).parents[3]


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
        "import os, signal, sys; from pathlib import Path\n"
        "from inspection.files import new_directory\n"
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


def test_a_writer_killed_between_old_and_new_loses_neither_for_good(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "old").touch()
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from inspection.files import new_directory\n"
        "rename = Path.rename\n"
        "def die(path, to):\n"
        "    rename(path, to)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "Path.rename = die\n"
        "with new_directory(Path(sys.argv[1]), replace=True) as folder:\n"
        "    (folder / 'new').touch()\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(target)], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not target.exists()
    with pytest.raises(FileExistsError), new_directory(target):
        pass
    assert [path.name for path in target.iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_two_writers_leave_each_other_alone(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    with new_directory(target, replace=True) as first:
        (first / "first").touch()
        with new_directory(target, replace=True) as second:
            (second / "second").touch()
        assert [path.name for path in target.iterdir()] == ["second"]
    assert [path.name for path in target.iterdir()] == ["first"]
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_private_files_and_folders_are_for_their_owner(tmp_path: Path) -> None:
    with new_directory(tmp_path / "engine", private=True) as folder:
        write_bytes(folder / "plan", b"1", private=True)
    assert (tmp_path / "engine").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "engine/plan").stat().st_mode & 0o777 == 0o600


def test_a_link_is_moved_at_once(tmp_path: Path) -> None:
    link = tmp_path / "active"
    for target in ("a", "b"):
        point_link(link, target)
        assert link.readlink() == Path(target)
    assert list(tmp_path.iterdir()) == [link]


def test_a_second_writer_waits_and_then_says_so(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    with locked(lock, "the bundle"):
        expected = (
            r"^the bundle: another linewarden is writing to it and has not finished in 0 s; wait"
        )
        with pytest.raises(BundleError, match=expected), locked(lock, "the bundle", wait_s=0.1):
            pass
    with locked(lock, "the bundle", wait_s=0):
        pass


def test_the_lock_of_a_killed_writer_is_free(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from inspection.files import locked\n"
        "with locked(Path(sys.argv[1]), ''):\n    print('held', flush=True); time.sleep(60)"
    )
    words = [sys.executable, "-c", code, str(tmp_path / ".lock")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(BundleError), locked(tmp_path / ".lock", "", wait_s=0):
            pass
        process.send_signal(signal.SIGKILL)
    with locked(tmp_path / ".lock", "", wait_s=10):
        pass


def test_a_folder_that_is_not_ours_to_write_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(BundleError, match=r"^b: cannot be written to .*No such file"),
        locked(tmp_path / "none/.lock", "b"),
    ):
        pass
