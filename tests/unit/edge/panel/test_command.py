"""The program as a process of the panel."""

from pathlib import Path

import pytest

from edge.panel.command import linewarden
from inspection.errors import LinewardenError


def test_the_message_of_the_command_is_told(tmp_path: Path) -> None:
    with pytest.raises(LinewardenError, match=r"^.*/bundle: no such bundle; make one with"):
        linewarden("layout", "take", tmp_path / "bundle", tmp_path / "t.json", "--reason=x")


def test_a_command_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(LinewardenError, match=r"^linewarden panel --config: .* timed out after"):
        linewarden("panel", "--config", tmp_path / "panel.yaml", within_s=0.01)
