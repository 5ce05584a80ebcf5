"""The command itself: an error of the machine is one line, a mistake of ours has its trace."""

import resource
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspection.bundle import Bundle
from linewarden.command_line import main


def test_a_file_that_cannot_be_written_is_one_line_and_nothing_is_half_written(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    """A limit of the file size replaces a full disk: the write fails in the middle."""
    cv2.imwrite(str(tmp_path / "part.png"), np.full((32, 32), 5, np.uint8))
    folder = tiny_bundle.folder / "calibration"
    before = {path: path.read_bytes() for path in folder.iterdir()}
    done = subprocess.run(
        [sys.executable, "-m", "linewarden", "calibrate", tiny_bundle.folder, "--good", tmp_path,
         "--recipe", "9"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300)),
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"linewarden: {folder / '9.json'}: File too large; free some space, or choose another "
        "place\n"
    )
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_other_errors_of_files_keep_their_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    monkeypatch.setattr("linewarden.commands.inspect.run", lambda _: open("no-such-file"))  # noqa: PTH123, SIM115
    with pytest.raises(FileNotFoundError):
        main(["inspect", "--bundle", "b", "part.png"])
