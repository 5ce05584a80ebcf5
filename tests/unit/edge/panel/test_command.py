"""The program as a process of the panel."""

import subprocess
import sys
from pathlib import Path

import pytest

from edge.panel.command import failure_of, linewarden
from inspection.errors import LinewardenError


def test_the_message_of_the_command_is_told(tmp_path: Path) -> None:
    with pytest.raises(LinewardenError, match=r"^.*/bundle: no such bundle; make one with"):
        linewarden("layout", "take", tmp_path / "bundle", tmp_path / "t.json", "--reason=x")


def test_a_command_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(LinewardenError, match=r"^linewarden panel --config: .* timed out after"):
        linewarden("panel", "--config", tmp_path / "panel.yaml", within_s=0.01)


@pytest.mark.parametrize(
    ("does", "told"),
    [
        ("os.kill(os.getpid(), 9)", "ended with -9: it said nothing"),
        ("sys.exit('Traceback\\nMemoryError')", "ended with 1: MemoryError"),
    ],
)
def test_a_command_that_says_no_reason_is_told_by_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, told: str
) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!{sys.executable}\nimport os, sys\n{does}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(LinewardenError) as caught:
        linewarden("layout", "take", "bundle")
    assert str(caught.value) == f"linewarden layout take {told}"


def test_a_message_of_several_lines_is_told_whole() -> None:
    stderr = "a warning\nlinewarden: the bundle: linewarden: cannot\n  be read\n"
    done = subprocess.CompletedProcess([], 4, "", stderr)
    assert failure_of(["layout"], done) == "the bundle: linewarden: cannot\n  be read"
