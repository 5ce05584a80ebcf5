"""A whole line on real camera software: each fault gives NO_VERDICT, and verdicts come again.

`make camera-study` runs all faults and 10,000 triggers; this file has one fault of each kind.
"""

from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="needs the package onnx")

from tests.doubles.camera_faults import BACK_WITHIN_S, SOURCES, break_line, lossy_gige
from tests.doubles.camera_line import CameraLine
from tests.doubles.picture_gige import LEVELS
from tests.doubles.soak import require_flat, soak


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("pylon", "bad frames"),
        ("pylon", "SDK raises"),
        ("pylon", "slow consumer"),
        ("pylon", "grabber hung"),
        ("gige", "camera killed"),
        ("rtsp", "server killed"),
        ("mjpeg", "server hung"),
    ],
)
def test_a_fault_is_told_and_verdicts_come_again(source: str, fault: str, tmp_path: Path) -> None:
    with SOURCES[source]() as camera:
        outcome = break_line(tmp_path, camera, fault)
    assert outcome.back_s < BACK_WITHIN_S


def test_each_picture_over_gige_is_judged_as_what_it_is(tmp_path: Path) -> None:
    with SOURCES["gige"]() as camera:
        line = CameraLine(tmp_path, camera.config, frame=camera.frame)
        with line.running():
            line.wait_for_parts(200)
    account = line.account()
    assert {round(255 * score) for score in account.scores} == set(LEVELS)
    assert set(account.causes) <= {"overtrigger", "stopping"}


def test_frames_with_lost_packets_have_no_verdict(tmp_path: Path) -> None:
    with lossy_gige(100) as camera:
        line = CameraLine(tmp_path, camera.config, frame=camera.frame)
        with line.running():
            line.wait_for_parts(100)
    account = line.account()
    assert account.causes["frame"] > 0
    assert account.verdicts > 0


@pytest.mark.parametrize("process", ["", "line", "camera"])
def test_a_leak_in_either_process_is_caught(process: str, tmp_path: Path) -> None:
    """The leak is large because the run is short; `make camera-study` finds a small one."""
    leak_bytes = 65_536
    result = soak(tmp_path, 1000, process, leak_bytes)
    if process:
        with pytest.raises(AssertionError, match="memory grows by"):
            require_flat(result["samples"], leak_bytes / 2)
    else:
        require_flat(result["samples"], leak_bytes / 2)
