"""The change of the active calibration, by several people at the same time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import cv2
import numpy as np
import pytest

from calibration.activation import activate
from calibration.calibrate import calibrate
from calibration.history import history, roll_back
from calibration.layout_trial import LayoutTrial, take
from calibration.sensitivity import move_slider
from calibration.thresholds import CalibrationTargets
from inspection.bundle import Bundle, open_bundle
from inspection.bundle.calibration_file import Calibration
from inspection.errors import BundleError

PEOPLE = 6
Change = Callable[[Bundle, Calibration, str], Calibration]


def take_trial(bundle: Bundle, active: Calibration, author: str) -> Calibration:
    trial = LayoutTrial(replaces=active.seal, calibration=active, parts=())
    return take(bundle, trial, author=author, reason="a label")


def slide(bundle: Bundle, active: Calibration, author: str) -> Calibration:
    return move_slider(bundle, active, 0.5, author=author, reason="escapes")


@pytest.mark.parametrize("change", [take_trial, slide])
def test_one_of_several_changes_of_the_same_calibration_is_made(
    tiny_bundle: Bundle, change: Change
) -> None:
    scores = {f"{number:064x}": 0.1 + number / 100 for number in range(30)}
    first = tiny_bundle.calibration("default", "model.onnx")
    tiny_bundle.add_calibration(first.model_copy(update={"scores": scores}))
    active = tiny_bundle.calibration("default", "model.onnx")
    together = Barrier(PEOPLE)

    def attempt(number: int) -> str:
        bundle = open_bundle(tiny_bundle.folder)
        together.wait(timeout=30)
        try:
            return change(bundle, active, f"person {number}").author
        except BundleError as error:
            assert "recipe 'default' was calibrated again in between" in str(error)  # noqa: PT017
            return ""

    with ThreadPoolExecutor(PEOPLE) as people:
        (winner,) = filter(None, people.map(attempt, range(PEOPLE)))
    now = tiny_bundle.calibration("default", "model.onnx")
    assert (now.author, now.previous_seal) == (winner, active.seal)
    assert len(history(tiny_bundle, "default")) == 3


def test_a_measurement_replaces_the_calibration_that_was_active_when_it_began(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    path = tmp_path / "good.png"
    cv2.imwrite(str(path), np.full((32, 32), 5, np.uint8))
    first = tiny_bundle.calibration("default", "model.onnx")

    def activate_another() -> None:
        activate(tiny_bundle, first, author="bert", reason="new zones")

    targets = CalibrationTargets(0.01)
    with pytest.raises(BundleError, match=r"was calibrated again in between .*; nothing was ch"):
        calibrate(tiny_bundle, [path], targets, report=activate_another, author="anna")
    now = tiny_bundle.calibration("default", "model.onnx")
    assert (now.author, now.previous_seal) == ("bert", first.seal)
    with pytest.raises(BundleError, match="was calibrated again in between"):
        calibrate(tiny_bundle, [path], targets, author="anna", replaces=first.seal)
    calibrate(tiny_bundle, [path], targets, author="anna")
    assert tiny_bundle.calibration("default", "model.onnx").previous_seal == now.seal


@pytest.mark.parametrize("damaged", [True, False])
def test_a_recipe_without_a_whole_calibration_gets_its_first_one_only_once(
    tiny_bundle: Bundle, damaged: bool
) -> None:
    first = tiny_bundle.calibration("default", "model.onnx")
    path = tiny_bundle.calibration_path("default")
    if damaged:
        path.write_text("{}")
    else:
        path.unlink()
    assert tiny_bundle.active_seal("default") == ""
    activate(tiny_bundle, first, author="anna", reason="", replaces="")
    with pytest.raises(BundleError, match="was calibrated again in between"):
        activate(tiny_bundle, first, author="bert", reason="", replaces="")
    assert tiny_bundle.calibration("default", "model.onnx").author == "anna"


def test_a_rollback_replaces_the_calibration_that_it_was_compared_with(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tiny_bundle.calibration("default", "model.onnx")
    activate(tiny_bundle, first, author="anna", reason="new lamp")
    oldest = history(tiny_bundle, "default")[-1].name

    def activate_after_another(bundle: Bundle, *args: object, **kwargs: object) -> object:
        activate(bundle, first, author="bert", reason="another lamp")
        return activate(bundle, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr("calibration.history.activate", activate_after_another)
    with pytest.raises(BundleError, match="was calibrated again in between"):
        roll_back(tiny_bundle, "default", oldest, author="carl", reason="lamp repaired")
    assert tiny_bundle.calibration("default", "model.onnx").author == "bert"
