"""Cameras that are opened anew for another recipe, all of them or none, while parts come."""

import threading
import time
from contextlib import AbstractContextManager

import pytest

from edge.camera.faults import CameraLostError
from edge.part.frame import Frame
from edge.pipeline.settings import View, ViewCamera
from inspection.errors import CameraError
from inspection.verdict import Cause, Verdict
from tests.doubles.bright import Bright, Expects, running
from tests.doubles.pipelines import GENEROUS_S, Line
from tests.doubles.waiting import wait_for


def enter(line: Line) -> None:
    line.pipeline.change_inspectors({view.name: Expects("new", 20) for view in line.views})


@pytest.mark.parametrize("names", ["a", "ab"])
def test_no_frame_meets_the_recipe_of_another_camera(names: str) -> None:
    with running(names) as line:
        old = [view.camera for view in line.views]
        cameras = {name: ViewCamera(Bright(20)) for name in names}
        line.pipeline.change_cameras(cameras, lambda: enter(line))
        wait_for(lambda: len([one for one in line.records if one.recipe == "new"]) > 5)
        assert not any(camera.is_open for camera in old)  # type: ignore[attr-defined]
        assert [view.camera for view in line.views] == [new.camera for new in cameras.values()]
        wait_for(lambda: line.pipeline.faults == [])
    recipes = [one.recipe for one in line.records]
    assert recipes == sorted(recipes, reverse=True)  # old, then new
    waiting = [one for one in line.records if one.verdict is Verdict.NO_VERDICT]
    # Those that came while the cameras were being opened; a view may still open parts meanwhile.
    reasons = {one.message for one in waiting if one.cause is not Cause.STOPPING}
    assert reasons <= {"the camera is being opened for another recipe"}


@pytest.mark.parametrize("refusing", ["a", "b", "ab"])
def test_a_camera_that_refuses_leaves_all_as_they_were(refusing: str) -> None:
    with running("ab") as line:
        old = [view.camera for view in line.views]
        cameras = {name: ViewCamera(Bright(20, refuses=name in refusing)) for name in "ab"}
        with pytest.raises(CameraError, match=r"stay as they were: view .: ExposureTime cannot"):
            line.pipeline.change_cameras(cameras, lambda: enter(line))
        wait_for(lambda: line.pipeline.faults == [])
        parts = len(line.records)
        wait_for(lambda: len(line.records) > parts + 5)
        assert [view.camera for view in line.views] == old
        assert not any(new.camera.is_open for new in cameras.values())  # type: ignore[attr-defined]
    assert {one.recipe for one in line.records} == {"old"}


def test_nobody_waits_for_a_change_when_the_line_stops() -> None:
    with running("a") as line:
        line.pipeline.stop()
        with pytest.raises(CameraError, match="view a: the line stops"):
            line.pipeline.change_cameras({"a": ViewCamera(Bright(20))}, lambda: enter(line))


def test_the_station_is_not_ready_meanwhile() -> None:
    with running("a") as line:
        slow = Bright(20)
        slow.opens.clear()
        change = threading.Thread(
            target=line.pipeline.change_cameras,
            args=({"a": ViewCamera(slow)}, lambda: enter(line)),
        )
        change.start()
        fault = "view a: the camera is being opened for another recipe"
        wait_for(lambda: line.pipeline.faults == [fault])
        slow.opens.set()
        change.join(GENEROUS_S)
        wait_for(lambda: line.pipeline.faults == [])


class Lost(Bright):
    """Is lost, and refuses to open again from then on."""

    def __init__(self, brightness: int, limit_s: float) -> None:
        super().__init__(brightness)
        self.waits = False  # a recording is not opened again
        self.open_limit_s = limit_s
        self.refused = 0

    def open(self) -> None:
        self.refused += self.refuses
        super().open()

    def read(self, timeout_s: float) -> Frame | None:
        if self.refuses:
            raise CameraLostError("unplugged")
        time.sleep(0.005)
        return super().read(timeout_s)


def _running_with_a_lost_camera() -> AbstractContextManager[Line]:
    return running("a", Lost(10, 1.0), limit_s=1.0)


def test_a_lost_camera_gives_way_to_that_of_another_recipe() -> None:
    """Also while the line waits for the next attempt to open it."""
    with _running_with_a_lost_camera() as line:
        lost = line.camera
        lost.refuses = True
        wait_for(lambda: lost.refused > 2)
        line.pipeline.change_cameras({"a": ViewCamera(Bright(20))}, lambda: enter(line))
        wait_for(lambda: any(one.recipe == "new" for one in line.records))
        assert line.pipeline.faults == []


def test_a_lost_camera_is_opened_again_where_the_other_one_refuses() -> None:
    with _running_with_a_lost_camera() as line:
        lost = line.camera
        lost.refuses = True
        wait_for(lambda: lost.refused > 2)
        with pytest.raises(CameraError, match="view a: ExposureTime cannot be set"):
            line.pipeline.change_cameras(
                {"a": ViewCamera(Bright(20, refuses=True))}, lambda: enter(line)
            )
        lost.refuses = False
        wait_for(lambda: line.pipeline.faults == [])
        parts = len(line.records)
        wait_for(lambda: len(line.records) > parts + 5)
    # The loss is one part: one may have been before the camera unseen.
    assert [one.message for one in line.records if one.cause is Cause.CAMERA] == ["unplugged"]


def test_a_line_that_waits_for_its_first_camera_takes_that_of_another_recipe() -> None:
    refusing = Lost(10, 1.0)
    refusing.refuses = True
    line = Line([View("a", refusing, Expects("old", 10))], waits_to_open=True, limit_s=1.0)
    thread = threading.Thread(target=line.pipeline.run)
    thread.start()
    wait_for(lambda: refusing.refused > 2)
    line.pipeline.change_cameras({"a": ViewCamera(Bright(20))}, lambda: enter(line))
    wait_for(lambda: any(one.recipe == "new" for one in line.records))
    line.pipeline.stop()
    thread.join(GENEROUS_S)
    line.check(len(line.records))
