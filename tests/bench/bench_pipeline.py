"""Measures the runtime around the engine: its overhead, and the cost of idle gaps.

    python tests/bench/bench_pipeline.py overhead
    python tests/bench/bench_pipeline.py views
    python tests/bench/bench_pipeline.py outputs
    python tests/bench/bench_pipeline.py zones
    python tests/bench/bench_pipeline.py idle BUNDLE [parts]

`overhead` runs an engine that does nothing, so that it measures the pipeline alone: from the frame
in memory to the verdict at the output, with preprocessing to 256x256, record and one output; beside
it the same steps as plain calls. `views` begins at the software trigger, with one camera and with
four, each of which needs 2 ms to expose. `outputs` times a part beside servers that nobody polls,
whose verdicts all run into their time limit. `zones` times the decision on a map with zones. `idle`
runs a bundle through the pipeline with pauses between the parts, without and with `keep_warm_ms`.
All sides are interleaved.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import numpy as np
import numpy.typing as npt

from edge.line import LineOutput, ModbusServerConfig, StationState
from edge.part.frame import Frame
from edge.part.record import InspectionRecord
from edge.part.shot import PartInspector
from edge.pipeline.pipeline import Pipeline
from edge.pipeline.settings import PartLimits, RunSettings, View
from edge.trigger.software import SoftwareTrigger
from inspection.bundle.calibration_file import RecipeIdentity
from inspection.inspector import Inspection, Inspector, StageTimes
from inspection.layout import PreparedFrame
from inspection.layout.zones import ZoneMap
from inspection.preprocess import Preprocessing, preprocess
from inspection.verdict import Thresholds, Verdict, decide, decide_by_zone

ROUNDS = 300
PAUSES_S = (0.0, 0.1, 1.0)
WARM_MS = (None, 20.0, 100.0)
EXPOSURE_S = 0.002  # a round trip to the process of a camera


class Source:
    """A camera that passes on a frame at once; `captured_ns` is that moment."""

    waits = False

    def __init__(self) -> None:
        self._given = threading.Semaphore(0)
        self.image = np.zeros((1, 1), np.uint8)
        self._captured_ns = 0

    def give(self, image: npt.NDArray[np.uint8]) -> None:
        self.image, self._captured_ns = image, time.monotonic_ns()
        self._given.release()

    def open(self) -> None:
        pass

    def read(self, timeout_s: float) -> Frame | None:
        if not self._given.acquire(timeout=timeout_s):
            return None
        return Frame(self.image, self._captured_ns, 0, "bench")

    def close(self) -> None:
        pass


class NoEngine:
    """Preprocesses, and decides on a fixed map."""

    identity = RecipeIdentity("bench", Thresholds(2.5, 2.5), "0" * 64, "0" * 64)

    def __init__(self, size: int, channels: int) -> None:
        limits = (size, size)
        self._to = Preprocessing(
            frame_height=limits,
            frame_width=limits,
            channels=3 if channels == 3 else 1,
            height=256,
            width=256,
        )
        self._map = np.zeros((256, 256), np.float32)

    def prepare(self, frame: npt.NDArray[np.uint8]) -> PreparedFrame:
        started = time.monotonic_ns()
        image = preprocess(frame, self._to)
        return PreparedFrame(image, None, preprocess_ns=time.monotonic_ns() - started)

    def infer(self, prepared: PreparedFrame, deadline_ns: int | None = None) -> Inspection:
        decision = decide(1.0, self._map, self.identity.thresholds)
        times = StageTimes(prepared.preprocess_ns, 1, 1)
        return Inspection(
            verdict=Verdict.PASS,
            score=1.0,
            thresholds=self.identity.thresholds,
            anomaly_map=self._map,
            mask=decision.mask,
            times=times,
        )

    @property
    def engines(self) -> tuple[object, ...]:
        return (self,)

    def warm(self, engine: object) -> None:
        pass


class Told:
    """An output that notes the time of each verdict."""

    def __init__(self) -> None:
        self.at_ns = 0
        self.came = threading.Event()

    def open(self) -> None:
        pass

    def send(self, record: InspectionRecord) -> None:
        record.model_dump_json()
        self.at_ns = time.monotonic_ns()
        self.came.set()

    def show(self, state: StationState) -> None:
        pass

    def close(self) -> None:
        pass


class Running:
    """A pipeline on a thread, one part at a time.

    Args:
        fired_views: cameras that a software trigger exposes; 0 for a camera that announces the
            parts.
        others: further outputs, in front of the one whose verdicts are timed.
    """

    def __init__(
        self,
        inspector: PartInspector,
        keep_warm_ms: float | None = None,
        fired_views: int = 0,
        others: Sequence[LineOutput] = (),
    ) -> None:
        self._sources, self._told = [Source() for _ in range(max(1, fired_views))], Told()
        self._image = np.zeros((1, 1), np.uint8)
        self._is_fired = fired_views > 0
        self._pipeline = Pipeline(
            views=[
                View(f"view{place}", source, inspector, self._exposing(source))
                for place, source in enumerate(self._sources)
            ],
            outputs={f"other {place}": one for place, one in enumerate(others)}
            | {"told": self._told},
            settings=RunSettings(
                PartLimits(deadline_ms=60_000.0), keep_warm_ms=keep_warm_ms, waits_to_open=True
            ),
            trigger=SoftwareTrigger() if self._is_fired else None,
        )
        self._thread = threading.Thread(target=self._pipeline.run)

    def _exposing(self, source: Source) -> Callable[[], None] | None:
        def expose() -> None:
            time.sleep(EXPOSURE_S)
            source.give(self._image)

        return expose if self._is_fired else None

    def __enter__(self) -> Running:
        self._thread.start()
        while self._pipeline.faults:
            time.sleep(0.01)
        return self

    def __exit__(self, *_error: object) -> None:
        self._pipeline.stop()
        self._thread.join()

    def part_ms(self, image: npt.NDArray[np.uint8]) -> float:
        self._told.came.clear()
        self._image = image
        started = time.monotonic_ns()
        if self._is_fired:
            self._pipeline.fire()
        else:
            self._sources[0].give(image)
        self._told.came.wait()
        return (self._told.at_ns - started) / 1e6


def overhead() -> None:
    random = np.random.default_rng(1)
    with ExitStack() as stack:
        sides: dict[str, Callable[[], float]] = {}
        for size in (1024, 2048):
            for channels in (1, 3):
                shape = (size, size) if channels == 1 else (size, size, 3)
                image = random.integers(0, 255, shape, dtype=np.uint8)
                inspector = NoEngine(size, channels)
                running = stack.enter_context(Running(inspector))
                name = f"{size}x{size} {'grey' if channels == 1 else 'BGR'}"
                sides[f"{name}: steps alone"] = lambda i=inspector, m=image: _plain(i, m)  # type: ignore[misc]
                sides[f"{name}: pipeline"] = lambda r=running, m=image: r.part_ms(m)  # type: ignore[misc]
        _compare(sides)


def views() -> None:
    """Times a part from the software trigger to the verdict, with one camera and with four."""
    random = np.random.default_rng(1)
    with ExitStack() as stack:
        sides: dict[str, Callable[[], float]] = {}
        for size in (1024, 2048):
            image = random.integers(0, 255, (size, size), dtype=np.uint8)
            for count in (1, 4):
                running = stack.enter_context(Running(NoEngine(size, 1), fired_views=count))
                name = f"{size}x{size} grey, {count} view{'s' if count > 1 else ''}"
                sides[name] = lambda r=running, m=image: r.part_ms(m)  # type: ignore[misc]
        _compare(sides)


def outputs() -> None:
    """Times a part until a working output is told, beside servers that nobody polls."""
    image = np.zeros((1024, 1024), np.uint8)
    with ExitStack() as stack:
        sides: dict[str, Callable[[], float]] = {}
        for count in (0, 1, 3):
            dead = [_unpolled_server() for _ in range(count)]
            running = stack.enter_context(Running(NoEngine(1024, 1), others=dead))
            sides[f"{count} dead outputs beside it"] = lambda r=running: r.part_ms(image)  # type: ignore[misc]
        _compare(sides)


def _unpolled_server() -> LineOutput:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return ModbusServerConfig(kind="modbus_server", host="127.0.0.1", port=port).driver()


def zones() -> None:
    """Times the decision on a rejected 256x256 map."""
    random = np.random.default_rng(1)
    anomaly_map = random.normal(size=(256, 256)).astype(np.float32)
    sides: dict[str, Callable[[], float]] = {}
    for count in (1, 8, 255):
        zone_map = np.repeat(np.arange(256, dtype=np.uint8) % count + 1, 256).reshape(256, 256)
        limits = [Thresholds(2.5, 3.5)] * count

        def decide_ms(zone_map: ZoneMap = zone_map, limits: list[Thresholds] = limits) -> float:
            started = time.monotonic_ns()
            decide_by_zone(1.0, anomaly_map, zone_map, limits)
            return (time.monotonic_ns() - started) / 1e6

        sides[f"{count} zones"] = decide_ms
    _compare(sides)


def _compare(sides: dict[str, Callable[[], float]]) -> None:
    """Prints the percentiles of each side in milliseconds, measured in turn."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(ROUNDS + 10):
        for name, run in sides.items():
            value = run()
            if number >= 10:
                times[name].append(value)
    for name, values in times.items():
        print(f"  {name:<28} {percentiles(values)}")


def _plain(inspector: NoEngine, image: npt.NDArray[np.uint8]) -> float:
    started = time.monotonic_ns()
    inspector.infer(inspector.prepare(image))
    return (time.monotonic_ns() - started) / 1e6


def idle(bundle: str, parts: int) -> None:
    """Runs blocks of ten parts with the same pause, in turn without and with warmth."""
    for pause_s in PAUSES_S:
        times: dict[float | None, list[float]] = {warm: [] for warm in WARM_MS}
        with Inspector.open(bundle, threads=2) as inspector:
            spec = inspector.bundle.manifest.preprocessing
            shape: tuple[int, ...] = (spec.frame_height[0], spec.frame_width[0])
            shape += () if spec.channels == 1 else (3,)
            image = np.random.default_rng(1).integers(0, 255, shape, dtype=np.uint8)
            for _ in range(max(1, parts // 10)):
                for warm in WARM_MS:
                    with Running(inspector, warm) as running:
                        times[warm] += _block(running, image, pause_s)
        print(f"pause {1e3 * pause_s:g} ms, {parts} parts each")
        for warm, values in times.items():
            name = "left alone" if warm is None else f"keep_warm_ms {warm:g}"
            print(f"  {name:<28} {percentiles(values)}")


def _block(running: Running, image: npt.NDArray[np.uint8], pause_s: float) -> list[float]:
    random = np.random.default_rng()
    values = []
    for _ in range(11):  # the first part after the start does not count
        time.sleep(pause_s * random.uniform(0.5, 1.5))
        values.append(running.part_ms(image))
    return values[1:]


def percentiles(values: list[float]) -> str:
    p50, p99, p999 = np.percentile(values, [50, 99, 99.9])
    return f"p50 {p50:7.2f}  p99 {p99:7.2f}  p99.9 {p999:7.2f} ms"


if __name__ == "__main__":
    given = dict(enumerate(sys.argv))
    if given.get(1) == "idle":
        idle(given[2], int(given.get(3, "100")))
    else:
        {"overhead": overhead, "views": views, "outputs": outputs, "zones": zones}[
            given.get(1, "overhead")
        ]()
