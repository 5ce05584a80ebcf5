"""The command itself: an error of the machine is one line, a mistake of ours has its trace."""

import errno
import resource
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspection.bundle import Bundle
from inspection.errors import EngineError
from linewarden.command_line import main
from linewarden.memory import HINT

PACKAGES = ["calibration", "edge", "export", "inspection", "linewarden", "reports", "training"]


def inspect_failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> int:
    """Returns the exit code of a command that ends with this error."""

    def fail(_: object) -> int:
        raise error

    monkeypatch.setattr("linewarden.commands.inspect.run", fail)
    return main(["inspect", "--bundle", "b", "part.png"])


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


# Limits the memory of a process to little more than it has when all is imported.
SMALL = """
import resource, sys
from pathlib import Path
from linewarden import command_line
from linewarden.commands import bundle
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + (8 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
sys.exit(command_line.main(["bundle", "verify", sys.argv[1]]))
"""


def test_a_limit_of_memory_is_one_line(tiny_bundle: Bundle) -> None:
    with tiny_bundle.calibration_path("default").open("ab") as stream:
        stream.truncate(50 << 20)
    done = subprocess.run(
        [sys.executable, "-c", SMALL, tiny_bundle.folder],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, f"linewarden: {HINT}\n")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (MemoryError(), 1, HINT),
        (np._core._exceptions._ArrayMemoryError((1 << 50,), np.dtype("u1")), 1, HINT),  # type: ignore[attr-defined]
        (RuntimeError("can't start new thread"), 1, HINT),
        (ImportError("libx.so: failed to map segment from shared object"), 1, HINT),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), 1, HINT),
        (
            EngineError("it cannot load: std::bad_alloc"),
            6,
            f"it cannot load: std::bad_alloc; {HINT}",
        ),
        (EngineError("another"), 6, "another"),
    ],
)
def test_every_lack_of_memory_has_a_message(
    error: Exception,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert inspect_failing(monkeypatch, error) == code
    assert capsys.readouterr().err == f"linewarden: {said}\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (IsADirectoryError(errno.EISDIR, "", "parts"), "parts: Is a directory"),
        (NotADirectoryError(errno.ENOTDIR, "", "part.png/x"), "part.png/x: Not a directory"),
        (OSError(errno.ENOSPC, "", "from", None, "to"), "to: No space left on device"),
    ],
)
def test_an_error_of_a_folder_names_the_file_that_is_written(
    error: OSError,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert inspect_failing(monkeypatch, error) == 1
    expected = f"linewarden: {said}; free some space, or choose another place\n"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("other"),
        ImportError("other"),
        ValueError("o"),
        *(ModuleNotFoundError("other", name=f"{package}.moved") for package in PACKAGES),
    ],
)
def test_a_mistake_of_the_program_keeps_its_trace(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(type(error), match="o"):
        inspect_failing(monkeypatch, error)


def test_a_missing_folder_of_an_output_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "missing/press3.yaml"
    assert main(["example", "modbus", "--out", str(out)]) == 1
    expected = f"linewarden: {out}: its folder does not exist; make it, or choose another place\n"
    assert capsys.readouterr().err == expected


def test_other_errors_of_files_keep_their_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    monkeypatch.setattr("linewarden.commands.inspect.run", lambda _: open("no-such-file"))  # noqa: PTH123, SIM115
    with pytest.raises(FileNotFoundError):
        main(["inspect", "--bundle", "b", "part.png"])
