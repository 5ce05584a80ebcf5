"""Cameras that are opened anew for another recipe, all of them or none, while parts come."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from edge.camera.base import Frame
from edge.errors import CameraError
from edge.verdict import Verdict
from edge.views import View, ViewCamera
from tests.doubles.pipelines import GENEROUS_S, IDENTITY, FakeCamera, FakeInspector, Image, Line
from tests.doubles.waiting import wait_for

PARTS = 100_000


class Bright(FakeCamera):
    """Frames of one brightness, which tells the camera; it can refuse to open or take its time."""

    def __init__(self, brightness: int, refuses: bool = False) -> None:
        super().__init__(*[None] * PARTS)
        self.brightness = brightness
        self.refuses = refuses
        self.opens = threading.Event()
        self.opens.set()

    def open(self) -> None:
        assert self.opens.wait(GENEROUS_S)
        if self.refuses:
            raise CameraError("ExposureTime cannot be set")
        super().open()

    def read(self, timeout_s: float) -> Frame | None:
        assert self.is_open
        frame = super().read(timeout_s)
        assert frame is not None
        return replace(frame, image=np.full((8, 8), self.brightness, np.uint8))


class Expects(FakeInspector):
    """Fails on frames of a camera that is not the recipe's."""

    def __init__(self, name: str, brightness: int) -> None:
        def check(image: Image) -> None:
            assert image[0, 0] == brightness, (name, image[0, 0])

        super().__init__(check, replace(IDENTITY, recipe=name))


@contextmanager
def running(names: str) -> Iterator[Line]:
    views = [View(name, Bright(10), Expects("old", 10)) for name in names]
    line = Line(views)
    thread = threading.Thread(target=line.pipeline.run)
    thread.start()
    try:
        wait_for(lambda: len(line.records) > 5)
        yield line
    finally:
        line.pipeline.stop()
        thread.join(GENEROUS_S)
    line.check(len(line.records))
    assert line.pipeline._error is None


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
        assert line.pipeline.faults == []
    recipes = [one.recipe for one in line.records]
    assert recipes == sorted(recipes, reverse=True)  # old, then new
    waiting = [one for one in line.records if one.verdict is Verdict.NO_VERDICT]
    # Those that came while the cameras were being opened; a view may still open parts meanwhile.
    assert all("opened for another recipe" in one.message for one in waiting)


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
