"""Every kind of trigger: one part gives one firing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.encoder.gpio import GpioEncoder
from edge.part.frame import Frame
from edge.trigger import IntervalTriggerConfig, PresenceTriggerConfig
from edge.trigger.base import FiredTrigger, Firing, FrameTrigger, part_id_from_text
from edge.trigger.camera import CameraTrigger
from edge.trigger.encoder import EncoderTrigger
from edge.trigger.interval import IntervalTrigger
from edge.trigger.presence import PresenceTrigger
from edge.trigger.software import SoftwareTrigger
from edge.trigger.thread import TriggerThread
from inspection.errors import LineError
from inspection.preprocess import Crop

GENEROUS_S = 30.0


def test_any_frame_is_a_part_where_the_camera_is_triggered() -> None:
    assert CameraTrigger().opens("top", None)
    assert CameraTrigger().announces("top")


@pytest.mark.parametrize(
    ("text", "part_id"),
    [("A-17\0\0", "A-17"), ("  ", None), ("", None), ("a\nb", "a b"), ("x" * 200, "x" * 128)],
)
def test_part_ids_are_printable(text: str, part_id: str | None) -> None:
    assert part_id_from_text(text) == part_id


def test_the_interval_does_not_drift_and_leaves_out_what_was_missed() -> None:
    now = [0]

    def sleep(seconds: float) -> None:
        now[0] += round(seconds * 1e9) + 3_000_000  # every sleep is 3 ms too long

    trigger = IntervalTrigger(period_ms=10.0, clock_ns=lambda: now[0], sleep=sleep)
    trigger.open()
    assert [trigger.wait(1.0) for _ in range(3)] == [
        Firing(None, number * 10_000_000) for number in (1, 2, 3)
    ]
    now[0] = 95_000_000
    assert trigger.wait(1.0) == Firing(None, 90_000_000)
    assert trigger.wait(1.0) == Firing(None, 100_000_000)
    assert trigger.wait(0.001) is None


def test_an_interval_of_bounces_is_refused() -> None:
    with pytest.raises(ValueError, match="each part would be a bounce"):
        IntervalTriggerConfig(kind="interval", period_ms=100.0, debounce_ms=101.0)
    IntervalTriggerConfig(kind="interval", period_ms=100.0, debounce_ms=100.0)


class FakeEncoder:
    def __init__(self) -> None:
        self.counts = 0
        self.is_open = False

    def open(self) -> None:
        self.is_open = True

    def position(self) -> int:
        assert self.is_open
        return self.counts

    def close(self) -> None:
        self.is_open = False


def test_the_encoder_announces_each_part_once_also_when_the_conveyor_goes_back() -> None:
    encoder = FakeEncoder()
    encoder.counts = 7
    trigger = EncoderTrigger(encoder=encoder, counts=100)
    trigger.open()
    found = []
    for position in (50, 106, 107, 150, 90, 120, 206, 207, 520):
        encoder.counts = position
        while trigger.wait(0.0) is not None:
            found.append(position)
    assert found == [107, 207, 520, 520, 520]


class FakeEdges:
    """The kernel's counter of edges: a double of the used part of `gpiod`."""

    class Event:
        def __init__(self, number: int) -> None:
            self.line_seqno = number

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.error: OSError | None = None
        self.is_released = False

    def request_lines(self, _path: str, *, consumer: str, config: dict[str, Any]) -> FakeEdges:
        if self.error is not None:
            raise self.error
        self.is_released = False
        return self

    def wait_edge_events(self, timeout: float) -> bool:
        assert timeout == 0
        if self.error is not None:
            raise self.error
        return bool(self.numbers)

    def read_edge_events(self) -> Sequence[Event]:
        some, self.numbers = self.numbers[:3], self.numbers[3:]
        return [self.Event(number) for number in some]

    def release(self) -> None:
        self.is_released = True


def test_gpio_encoder_counts_edges_that_found_the_buffer_full() -> None:
    edges = FakeEdges()
    encoder = GpioEncoder(chip=Path("/dev/gpiochip0"), line="A", request_lines=edges.request_lines)
    with pytest.raises(LineError, match="is not open"):
        encoder.position()
    encoder.open()
    edges.numbers = [1, 2, 3, 4, 5]
    assert encoder.position() == 5
    edges.numbers = [40, 41]
    encoder.open()  # counts already
    assert encoder.position() == 41
    encoder.close()
    assert edges.is_released


def test_gpio_encoder_counts_on_when_the_numbers_of_the_kernel_go_round() -> None:
    edges = FakeEdges()
    encoder = GpioEncoder(chip=Path("/dev/gpiochip0"), line="A", request_lines=edges.request_lines)
    encoder.open()
    edges.numbers = [2**32 - 3]
    trigger = EncoderTrigger(encoder=encoder, counts=4)
    trigger.open()
    edges.numbers = [2**32 - 1, 0]
    assert trigger.wait(0.0) is None
    assert encoder.position() == 2**32
    edges.numbers = [1]
    assert trigger.wait(0.0) is not None
    edges.numbers = [2**32 - 1]
    assert encoder.position() == 2 * 2**32 - 1
    edges.numbers = [6]  # a second round
    assert encoder.position() == 2 * 2**32 + 6


def test_a_lost_gpio_encoder_is_named_and_begins_anew() -> None:
    edges = FakeEdges()
    encoder = GpioEncoder(chip=Path("/dev/gpiochip0"), line="A", request_lines=edges.request_lines)
    encoder.open()
    edges.error = OSError(19, "No such device")
    with pytest.raises(LineError, match=r"lost.*No such device"):
        encoder.position()
    with pytest.raises(LineError, match="cannot be taken"):
        encoder.open()
    edges.error = None
    encoder.open()
    assert encoder.position() == 0


def presence(**settings: Any) -> PresenceTrigger:
    defaults: dict[str, Any] = {
        "kind": "presence",
        "region": Crop(top=20, left=40, height=40, width=20),
        "difference": 25.0,
        "share": 0.3,
        "frames": 2,
        "learn_frames": 5,
    }
    return PresenceTrigger(PresenceTriggerConfig.model_validate(defaults | settings))


def belt(parts: Iterable[float], light: float, noise: np.random.Generator) -> Frame:
    """Returns 80x160 pixels of a grey belt with bright parts of 30 pixels from `parts` on."""
    image = np.full((80, 160), 90.0 + light)
    for left in parts:
        image[15:65, max(0, int(left)) : max(0, int(left) + 30)] = 180 + light
    image += noise.normal(0, 8, image.shape)
    return Frame(np.clip(image, 0, 255).astype(np.uint8), 0, 0, "belt")


@pytest.mark.parametrize("seed", range(10))
def test_each_part_that_passes_is_seen_once_at_any_speed_while_the_light_drifts(seed: int) -> None:
    noise = np.random.default_rng(seed)
    trigger = presence()
    speed = noise.uniform(1, 8)  # pixels per frame
    lefts = -40 - np.cumsum(noise.uniform(80, 160, size=12))
    fired_at = []
    for number in range(int(400 / speed) + int(-lefts[-1] / speed)):
        moved = lefts + max(0, number - 10) * speed
        light = 20 * number * speed / 2000
        if trigger.opens("main", belt(moved, light, noise)):
            fired_at.append(moved)
    assert len(fired_at) == 12
    for moved in fired_at:  # each while a part is in the region
        assert any(10 < left < 60 for left in moved)


def test_a_part_that_stands_still_or_trembles_is_one_part() -> None:
    noise = np.random.default_rng(1)
    trigger = presence()
    found = 0
    for number in range(200):
        left = 45 + noise.normal(0, 1) if number > 10 else -50
        found += trigger.opens("main", belt([left], 0, noise))
    assert found == 1


def passing(trigger: PresenceTrigger, parts: int, light: float) -> int:
    """Returns how many of the parts that pass under a light were seen."""
    noise = np.random.default_rng(1)
    lefts = [*range(0, 100, 10)] * parts
    return sum(trigger.opens("main", belt([left], light, noise)) for left in lefts)


def test_a_step_of_the_light_ends_with_an_error_and_not_with_silence() -> None:
    trigger = presence(changes_max=20)
    noise = np.random.default_rng(1)
    for _ in range(5):
        trigger.opens("main", belt([], 0, noise))
    assert passing(trigger, 10, light=0) == 10
    assert passing(trigger, 3, light=40) <= 1
    with pytest.raises(LineError, match="changed 20 times without an empty line between, so parts"):
        passing(trigger, 20, light=40)


def faults_by_second(trigger: PresenceTrigger, frames: Iterable[Frame]) -> list[bool]:
    """Returns whether the trigger is lost after each of these frames, one of each second."""
    found = []
    for second, frame in enumerate(frames):
        trigger.opens("main", replace(frame, captured_ns=second * 1_000_000_000))
        found.append(trigger.lost != "")
    return found


def test_a_picture_that_stays_is_a_fault_until_the_line_is_seen_empty(
    caplog: pytest.LogCaptureFixture,
) -> None:
    trigger = presence(still_limit_s=20.0)
    noise = np.random.default_rng(1)
    lit, dark = belt([], 0, noise), belt([], -90, noise)
    found = faults_by_second(trigger, [*[lit] * 10, *[dark] * 40, *[lit] * 10])
    assert found == [True] * 4 + [False] * 28 + [True] * 19 + [False] * 9  # it learns at first
    assert caplog.text.count("the region shows the same part for 20 s, and no other is ann") == 1
    assert caplog.text.count("the line is seen empty again") == 1


@pytest.mark.parametrize(
    ("still_limit_s", "lefts"),
    [(None, [45] * 100), (20.0, [*[45] * 15, *[55] * 15] * 3)],
    ids=["parts wait here", "a long part"],
)
def test_a_part_that_waits_where_it_may_or_that_changes_is_no_fault(
    still_limit_s: float | None, lefts: list[int]
) -> None:
    trigger = presence(still_limit_s=still_limit_s)
    noise = np.random.default_rng(1)
    frames = [belt([left], 0, noise) for left in [*[-50] * 5, *lefts]]
    assert not any(faults_by_second(trigger, frames)[4:])


def test_a_trigger_that_learns_takes_no_part() -> None:
    trigger = presence()
    noise = np.random.default_rng(1)
    frames = [replace(belt([], 0, noise), sequence=number) for number in range(8)]
    found = faults_by_second(trigger, [*frames, *frames])  # the camera was opened again
    assert found == [*[True] * 4, *[False] * 4] * 2
    assert PresenceTrigger(PresenceTriggerConfig(kind="presence")).lost.endswith(
        "learns the empty line, keep it empty; no part is seen yet"
    )


def test_presence_learns_again_when_the_camera_was_opened_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    trigger = presence()
    noise = np.random.default_rng(1)
    for light, length in ((0, 20), (60, 7)):  # another exposure
        frames = [replace(belt([], light, noise), sequence=n) for n in range(length)]
        assert not any(trigger.opens("main", frame) for frame in frames)
    arrival = [replace(belt([45], 60, noise), sequence=n) for n in (7, 8)]
    assert [trigger.opens("main", frame) for frame in arrival] == [False, True]
    assert caplog.text.count("the camera was opened again") == 1


def test_presence_learns_no_line_on_which_parts_pass() -> None:
    trigger = presence(learn_frames=8)
    assert passing(trigger, 3, light=0) == 0
    noise = np.random.default_rng(1)
    for _ in range(8):
        trigger.opens("main", belt([], 0, noise))
    assert passing(trigger, 3, light=0) == 3


def test_a_line_that_is_never_empty_is_told() -> None:
    trigger = presence(learn_frames=8)
    with pytest.raises(LineError, match=r"changed 50 times .* or the line was not empty at"):
        passing(trigger, 50, light=0)


def test_presence_looks_at_one_view_and_at_usable_frames() -> None:
    trigger = presence(view="top", learn_frames=1, frames=1, share=0.01)
    noise = np.random.default_rng(1)
    assert not trigger.opens("top", None)
    trigger.opens("top", belt([], 0, noise))
    assert not trigger.opens("side", belt([45], 0, noise))
    assert [view for view in ("top", "side") if trigger.announces(view)] == ["top"]
    assert trigger.opens("top", belt([45], 0, noise))


def test_a_region_beyond_the_frame_is_refused() -> None:
    trigger = presence(region=Crop(top=0, left=150, height=80, width=20))
    with pytest.raises(LineError, match=r"trigger\.region reaches beyond the frame, .* 80x160"):
        trigger.opens("main", belt([], 0, np.random.default_rng(1)))


class Script:
    """Gives firings and raises errors in turn, then nothing."""

    def __init__(self, *steps: Firing | Exception) -> None:
        self._steps = list(steps)
        self.opened = 0
        self.is_open = False

    def open(self) -> None:
        self.opened += 1
        self.is_open = True

    def wait(self, timeout_s: float) -> Firing | None:
        if not self._steps:
            time.sleep(0.001)
            return None
        step = self._steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    def close(self) -> None:
        self.is_open = False


def test_a_lost_trigger_is_connected_again() -> None:
    fired: list[Firing] = []
    both = threading.Event()

    def fire(firing: Firing) -> None:
        fired.append(firing)
        if len(fired) == 2:
            both.set()

    script = Script(Firing("a"), LineError("PLC gone"), Firing("b"))
    thread = TriggerThread(script, fire, lambda error: pytest.fail(str(error)))
    thread.start()
    assert both.wait(GENEROUS_S)
    assert thread.lost == ""
    thread.close(GENEROUS_S)
    assert [firing.part_id for firing in fired] == ["a", "b"]
    assert (script.opened, script.is_open) == (2, False)


class Absent(Script):
    """Cannot be opened before it is there."""

    def __init__(self, *steps: Firing | Exception) -> None:
        super().__init__(*steps)
        self.is_there = threading.Event()

    def open(self) -> None:
        super().open()
        if not self.is_there.is_set():
            raise LineError("no PLC")


def test_an_absent_trigger_is_waited_for_where_the_line_waits() -> None:
    fired = threading.Event()
    script = Absent(Firing("a"))
    thread = TriggerThread(
        script, lambda _: fired.set(), lambda error: pytest.fail(str(error)), waits_to_open=True
    )
    thread.start()
    assert thread.lost == "no PLC"
    script.is_there.set()
    assert fired.wait(GENEROUS_S)
    thread.close(GENEROUS_S)
    assert script.opened >= 2


def test_an_absent_trigger_ends_a_line_that_does_not_wait() -> None:
    thread = TriggerThread(Absent(), lambda _: None, lambda error: pytest.fail(str(error)))
    with pytest.raises(LineError, match="no PLC"):
        thread.start()


def test_a_defect_in_a_trigger_is_told() -> None:
    told = threading.Event()
    script = Script(ZeroDivisionError("a mistake"))
    thread = TriggerThread(script, lambda _firing: None, lambda _error: told.set())
    thread.start()
    assert told.wait(GENEROUS_S)
    thread.close(GENEROUS_S)
    assert not script.is_open


@pytest.mark.parametrize("trigger", [SoftwareTrigger(), Script(), IntervalTrigger(period_ms=1.0)])
def test_fired_triggers_are_told_from_those_that_see_frames(trigger: FiredTrigger) -> None:
    assert isinstance(trigger, FiredTrigger)
    seeing: FrameTrigger = CameraTrigger()
    assert not isinstance(seeing, FiredTrigger)
