"""Changeovers while a line inspects as fast as it can, with real bundles and engines."""

import gc
import shutil
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from edge.camera import PylonConfig
from edge.camera.isolated import IsolatedCamera
from edge.part.record import InspectionRecord
from edge.station.assembly import Station, open_station
from edge.station.config import LineConfig
from inspection.bundle import Bundle
from inspection.config.loading import load_config
from inspection.errors import LineError
from inspection.verdict import Verdict
from tests.doubles.cameras import require
from tests.doubles.line_folder import (
    GENEROUS_S,
    SOFTWARE_TRIGGER,
    add_tolerant_recipe,
    part,
    write_line,
    write_parts,
)
from tests.doubles.waiting import wait_for

GREY = 200  # rejected by the recipe "default", passed by "tolerant"
VERDICTS = {"default": Verdict.REJECT, "tolerant": Verdict.PASS}
RECIPES = """\
start_recipe: 1
recipes:
  1: {recipe: default}
  2: {recipe: tolerant}
  3: {recipe: nobody-calibrated}
  4: {artefact: absent.onnx}
  5: {bundle: damaged}
  6: {bundle: absent}
"""


@pytest.fixture
def config(tmp_path: Path, tiny_bundle: Bundle) -> Path:
    write_parts(tmp_path / "parts", part(GREY))
    add_tolerant_recipe(tiny_bundle)
    shutil.copytree(tiny_bundle.folder, tmp_path / "damaged")
    model = tmp_path / "damaged" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    return write_line(tmp_path, SOFTWARE_TRIGGER, RECIPES)


class Line:
    """A line that runs, and the records of its parts."""

    def __init__(self, config: Path, *changes: str) -> None:
        self.config = load_config(config, LineConfig, changes)
        self.records: list[InspectionRecord] = []
        self.fired: list[str] = []
        self.station: Station
        self.finished = threading.Event()
        self._in_hand = threading.Semaphore(2)

    def on_record(self, record: InspectionRecord) -> None:
        self.records.append(record)
        self._in_hand.release()

    def fire(self) -> None:
        assert self._in_hand.acquire(timeout=GENEROUS_S)
        trigger_id = self.station.pipeline.fire()
        assert trigger_id is not None
        self.fired.append(trigger_id)

    def fire_until(self, finished: Callable[[], bool]) -> None:
        while not finished():
            self.fire()

    def change_to(self, number: int) -> None:
        changeover = self.station.changeover
        changeover.request(number)
        wait_for(lambda: changeover.status.loading is None, GENEROUS_S)

    @contextmanager
    def running(self) -> Iterator[None]:
        with open_station(self.config, self.on_record) as self.station:
            thread = threading.Thread(target=self.station.pipeline.run)
            thread.start()
            try:
                wait_for(lambda: not self.station.pipeline.faults, GENEROUS_S)
                yield
            finally:
                wait_for(lambda: len(self.records) == len(self.fired), GENEROUS_S)
                self.station.pipeline.stop()
                thread.join(GENEROUS_S)


@pytest.fixture
def line(config: Path) -> Line:
    return Line(config)


def judged(line: Line) -> list[str]:
    """Returns the recipe of each judged part, in the order of the triggers."""
    assert len(line.records) == len(line.fired)
    by_id = {record.trigger_id: record for record in line.records}
    assert by_id.keys() == set(line.fired)
    parts = [by_id[trigger_id] for trigger_id in sorted(line.fired)]
    numbers = {"default": 1, "tolerant": 2}
    assert all(part.recipe_number == numbers[part.recipe] for part in parts)
    assert all(part.views[0].recipe_number == part.recipe_number for part in parts)
    decided = [part for part in parts if part.verdict is not Verdict.NO_VERDICT]
    assert all(part.verdict is VERDICTS[part.recipe] for part in decided)
    assert len(decided) > len(parts) / 4  # the test sends the others too fast
    return [part.recipe for part in parts]


def test_a_changeover_falls_between_two_triggers(line: Line) -> None:
    changes = 0

    def change() -> None:
        nonlocal changes
        while not stop.is_set():
            line.change_to(2 - changes % 2)
            changes += 1

    stop = threading.Event()
    with line.running():
        changing = threading.Thread(target=change)
        changing.start()
        line.fire_until(lambda: len(line.fired) >= 1500 and changes >= 6)
        stop.set()
        changing.join(GENEROUS_S)
        status = line.station.changeover.status
        line.fire()
    recipes = judged(line)
    swaps = sum(before != after for before, after in pairwise(recipes))
    assert swaps <= changes == status.changed
    assert swaps >= 2
    assert status.failure is None
    assert recipes[-1] == ("tolerant" if status.active == 2 else "default")


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (3, "recipe 'nobody-calibrated' is not calibrated"),
        (4, "absent.onnx"),
        (5, "model.onnx is not what was exported"),
        (6, "absent: no such bundle"),
    ],
)
def test_what_cannot_be_loaded_leaves_the_recipe_in_force(
    line: Line, number: int, why: str
) -> None:
    with line.running():
        line.change_to(2)
        line.fire()
        line.change_to(number)
        line.fire()
        status = line.station.changeover.status
    assert judged(line) == ["tolerant"] * 2
    assert status.failure is not None
    assert status.failure.startswith(f"recipe {number} was not loaded, recipe 2 runs on: ")
    assert why in status.failure
    assert (status.active, status.changed, status.failed) == (2, 1, 1)


def test_a_recipe_that_fails_its_reference_parts_check_is_not_ready(config: Path) -> None:
    checks = "recipes.2.checks={parts: [{name: golden, expect: PASS, score: [0, 1]}]}"
    line = Line(config, checks)
    with line.running():
        assert line.station.pipeline.faults == []
        line.change_to(2)
        assert line.station.pipeline.faults == ["the check at the start is due: show golden"]
        line.fire()
        wait_for(lambda: line.station.pipeline.faults == [])
        line.change_to(1)
        assert line.station.pipeline.faults == []


def test_a_request_is_refused_by_name(line: Line) -> None:
    with line.running():
        changeover = line.station.changeover
        with pytest.raises(LineError, match="no recipe 7: known are 1, 2, 3, 4, 5, 6"):
            changeover.request(7)
        changeover.request(2)
        if changeover.status.loading is not None:  # otherwise the load was faster than this test
            with pytest.raises(LineError, match="recipe 2 is being loaded; ask again"):
                changeover.request(1)
    with pytest.raises(LineError, match="the line stops"):
        changeover.request(1)


def test_fifty_changeovers_leave_nothing_behind(line: Line) -> None:
    with line.running():
        for number in (2, 1) * 5:
            line.change_to(number)
            line.fire()
        first = weakref.ref(line.station.changeover.active)
        before, threads = memory_bytes(), threading.active_count()
        for number in (2, 1) * 25:
            line.change_to(number)
            line.fire()
        gc.collect()
        assert first() is None
        assert threading.active_count() <= threads + 1  # one may be ending
        grown = memory_bytes() - before
    assert line.station.changeover.status.changed == 60
    assert grown < 8e6  # an engine of this bundle and its thread hold about a megabyte


def test_a_recipe_sets_its_camera(config: Path) -> None:
    require(PylonConfig(kind="pylon"))
    settings = "width: 32, height: 32, pixel_format: Mono8, exposure_us: 500"
    line = Line(
        config,
        f"camera={{kind: pylon, settings: {{{settings}, trigger: {{source: Software}}}}}}",
        "recipes.2.settings={exposure_us: 900}",
        "recipes.3={settings: {exposure_us: 1e12}}",
    )
    with line.running():
        first = line.station.pipeline._views[0].camera
        line.fire()
        line.change_to(2)
        wait_for(lambda: not line.station.pipeline.faults, GENEROUS_S)
        second = line.station.pipeline._views[0].camera
        line.fire()
        line.change_to(3)
        wait_for(lambda: not line.station.pipeline.faults, GENEROUS_S)
        line.fire()
        status = line.station.changeover.status
        assert line.station.pipeline._views[0].camera is second is not first
        assert isinstance(second, IsolatedCamera)
        assert second.describe()["ExposureTime"] == 900
    assert status.failure is not None
    assert "the cameras stay as they were: view main: " in status.failure
    assert (status.active, status.changed, status.failed) == (2, 1, 1)
    assert [record.source is not None for record in line.records] == [True] * 3
    assert {record.recipe for record in line.records[1:]} == {"tolerant"}


def memory_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096
