"""The recordings of all views begin at one moment, when the line is READY."""

from __future__ import annotations

import time
from pathlib import Path

from edge.sim.parts import drawn_part, write_frames
from edge.sim.sources import CommonStart, WaitingReplayConfig


def test_the_views_have_one_schedule_whoever_looks_first(tmp_path: Path) -> None:
    write_frames(tmp_path / "parts", [("good", drawn_part(0, is_defective=False))])
    ready: list[bool] = []
    start = CommonStart(lambda: bool(ready))
    config = WaitingReplayConfig(
        kind="replay", path=tmp_path / "parts", loop=True, rate_hz=0.01, start=start
    )
    top, side = config.driver(), config.driver()
    for camera in (top, side):
        camera.open()
        assert camera.read(0.0) is None
    ready.append(True)
    began_ns = start.at_ns()
    assert began_ns is not None
    assert top.read(0.0) is None  # the start is still to come
    time.sleep(0.01)
    assert side.read(0.0) is None
    for camera in (side, top):
        while (frame := camera.read(1.0)) is None:
            pass
        assert frame.captured_ns >= began_ns
    late = config.driver()  # of the next recipe: its frames do not come all at once
    late.open()
    assert late.read(1.0) is not None
    assert late.read(0.0) is None
    for camera in (top, side, late):
        camera.close()
