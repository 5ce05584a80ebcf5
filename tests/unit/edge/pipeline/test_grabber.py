"""The thread that reads a camera: a change or a stop that comes at an awkward moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import Mock

from edge.part.frame import Frame
from edge.pipeline.grabber import CameraChange, Grabber
from edge.pipeline.settings import PartLimits, RunSettings, View, ViewCamera
from inspection.errors import CameraError
from tests.doubles.pipelines import GENEROUS_S, FakeCamera, FakeInspector
from tests.doubles.waiting import wait_for


class Scripted(FakeCamera):
    """Gives no frame; it can be unplugged, and `open` and `close` can be held up."""

    def __init__(self) -> None:
        super().__init__(waits=False)
        self.open_limit_s = GENEROUS_S
        self.opened = 0
        self.is_lost = False
        self.before_open: Callable[[], None] = lambda: None
        self.before_close: Callable[[], None] = lambda: None
        self.is_aborted = threading.Event()

    def open(self) -> None:
        self.before_open()
        if self.is_aborted.is_set():
            raise CameraError("aborted")
        self.opened += 1
        self.is_lost = False

    def abort_open(self) -> None:
        self.is_aborted.set()

    def read(self, timeout_s: float) -> Frame | None:
        if self.is_lost:
            raise CameraError("unplugged")
        threading.Event().wait(0.005)
        return None

    def close(self) -> None:
        self.before_close()


@contextmanager
def grabbing(camera: Scripted, **given: Any) -> Iterator[Grabber]:
    """Yields a grabber with `camera`, not yet open."""
    errors: list[Exception] = []
    grabber = Grabber(
        view=View("main", camera, FakeInspector()),
        intake=Mock(),
        ledger=Mock(),
        settings=RunSettings(PartLimits(200.0), limit_s=GENEROUS_S, **given),
        on_error=errors.append,
        on_end=lambda: None,
    )
    try:
        yield grabber
    finally:
        grabber.close()
    assert not grabber._thread.is_alive()
    assert errors == []


@contextmanager
def while_it_closes(camera: Scripted) -> Iterator[None]:
    """Unplugs an open camera; the block runs while its grabber closes it."""
    is_closing, closes = threading.Event(), threading.Event()

    def close_slowly() -> None:
        is_closing.set()
        assert closes.wait(GENEROUS_S)

    camera.before_close, camera.is_lost = close_slowly, True
    assert is_closing.wait(GENEROUS_S)
    yield
    closes.set()


def test_a_camera_is_opened_again_after_a_change_that_woke_its_thread_late() -> None:
    camera, new = Scripted(), Scripted()
    with grabbing(camera) as grabber:
        grabber.open()
        change = CameraChange({"main": ViewCamera(new)}, lambda: None, GENEROUS_S)
        grabber._change = change  # as `change_camera`, whose thread is held up in between
        change.finish()
        grabber._woken.set()
        wait_for(lambda: not grabber.lost)
        new.is_lost = True
        wait_for(lambda: new.opened == 2)
        wait_for(lambda: not grabber.lost)
        assert grabber._intake.on_camera_lost.call_count == 1  # type: ignore[attr-defined]


def test_a_lost_camera_that_closes_is_not_opened_any_more_when_the_line_stops() -> None:
    camera = Scripted()
    with grabbing(camera) as grabber:
        grabber.open()
        with while_it_closes(camera):
            grabber.stop()
    assert camera.opened == 1


def test_a_lost_camera_that_closes_is_not_opened_any_more_when_another_one_comes() -> None:
    camera, new = Scripted(), Scripted()
    with grabbing(camera) as grabber:
        grabber.open()
        change = CameraChange({"main": ViewCamera(new)}, lambda: None, GENEROUS_S)
        with while_it_closes(camera):
            grabber.change_camera(change)
        change.finish()
        wait_for(lambda: not grabber.lost)
    assert (camera.opened, new.opened) == (1, 1)


def test_a_first_opening_is_not_aborted_for_the_camera_of_another_recipe() -> None:
    camera, new = Scripted(), Scripted()
    change = CameraChange({"main": ViewCamera(new)}, lambda: None, GENEROUS_S)
    with grabbing(camera) as grabber:
        camera.before_open = lambda: grabber.change_camera(change)
        grabber.open()
        change.finish()
    assert (camera.opened, new.opened) == (1, 1)


def test_a_camera_that_the_line_waits_for_gives_way_to_that_of_another_recipe() -> None:
    camera, new = Scripted(), Scripted()
    change = CameraChange({"main": ViewCamera(new)}, lambda: None, GENEROUS_S)
    with grabbing(camera, waits_to_open=True) as grabber:
        camera.before_open = lambda: grabber.change_camera(change)
        grabber.open()
        change.finish()
    assert (camera.opened, new.opened) == (0, 1)


def test_no_camera_is_opened_after_a_stop() -> None:
    camera = Scripted()
    with grabbing(camera) as grabber:
        grabber.stop()
        grabber.open()
    assert camera.opened == 0
