"""Lines whose cameras belong to recipes: the brightness of a frame names its camera."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from edge.part.frame import Frame
from edge.pipeline.settings import View
from inspection.errors import CameraError
from tests.doubles.pipelines import GENEROUS_S, IDENTITY, FakeCamera, FakeInspector, Image, Line
from tests.doubles.waiting import wait_for

PARTS = 100_000


class Bright(FakeCamera):
    """Gives frames of one brightness; can refuse to open, or open slowly."""

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
    """Fails on frames from the camera of another recipe."""

    def __init__(self, name: str, brightness: int) -> None:
        def check(image: Image) -> None:
            assert image[0, 0] == brightness, (name, image[0, 0])

        super().__init__(check, replace(IDENTITY, recipe=name))


@contextmanager
def running(names: str, camera: Bright | None = None, **given: Any) -> Iterator[Line]:
    """Runs a line with the recipe "old" and a view for each letter; yields it after some parts.

    Args:
        camera: of a single view.
        given: further arguments of `Line`.
    """
    views = [View(name, camera or Bright(10), Expects("old", 10)) for name in names]
    line = Line(views, **given)
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
