"""A pipeline of fakes: cameras, inspectors, outputs and an archive under the control of a test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.camera.base import EndOfRecording
from edge.line.base import StationState
from edge.part.frame import Frame
from edge.part.record import InspectionRecord
from edge.part.result import ONLY_VIEW, Settled
from edge.pipeline.pipeline import Pipeline
from edge.pipeline.settings import Hooks, PartLimits, RunSettings, View
from edge.pipeline.status import RunSummary
from inspection.bundle.calibration_file import RecipeIdentity
from inspection.inspector import Inspection, StageTimes
from inspection.layout import PreparedFrame
from inspection.verdict import Thresholds, Verdict

IDENTITY = RecipeIdentity("default", Thresholds(2.5, 2.5), "a" * 64, "b" * 64)
GENEROUS_S = 30.0
Image = npt.NDArray[np.uint8]


class FakeCamera:
    """Follows a script: gives a frame for None, and raises an error."""

    def __init__(self, *script: Exception | None, waits: bool = True) -> None:
        self.waits = waits
        self._script: Iterator[Exception | None] = iter(script)
        self._sequence = 0
        self.is_open = False
        self.on_end: Callable[[], None] = lambda: None

    def open(self) -> None:
        self.is_open = True

    def read(self, timeout_s: float) -> Frame | None:
        sequence, self._sequence = self._sequence, self._sequence + 1
        try:
            step = next(self._script)
        except StopIteration:
            self.on_end()
            raise EndOfRecording from None
        if step is not None:
            raise step
        return frame(sequence)

    def close(self) -> None:
        self.is_open = False


def frame(number: int) -> Frame:
    """Returns a frame of this brightness, captured now."""
    image = np.full((8, 8), number % 256, np.uint8)
    return Frame(image, time.monotonic_ns(), number, f"{number}.png")


class FakeInspector:
    """Rejects frames of odd brightness; `before` may hang or raise."""

    def __init__(
        self,
        before: Callable[[Image], Inspection | None] = lambda _frame: None,
        identity: RecipeIdentity = IDENTITY,
    ) -> None:
        self.identity = identity
        self.engines: tuple[object, ...] = (object(),)
        self.warmed = 0
        self._before = before

    def prepare(self, frame: Image) -> PreparedFrame:
        return PreparedFrame(frame, None, preprocess_ns=1)

    def infer(self, prepared: PreparedFrame, deadline_ns: int | None = None) -> Inspection:
        image = prepared.image
        special = self._before(image)
        if special is not None:
            return special
        return judged(Verdict.REJECT if image[0, 0] % 2 else Verdict.PASS)

    def warm(self, engine: object) -> None:
        assert engine in self.engines
        self.warmed += 1


def judged(verdict: Verdict) -> Inspection:
    mask = np.zeros((8, 8), dtype=np.bool_)
    anomaly_map = np.zeros((8, 8), dtype=np.float32)
    return Inspection(
        verdict=verdict,
        score=1.0,
        thresholds=IDENTITY.thresholds,
        anomaly_map=anomaly_map,
        mask=mask,
        times=StageTimes(1, 1, 1),
    )


class FakeOutput:
    """Keeps the records it is sent; `on_send` may hang or raise."""

    def __init__(self, on_send: Callable[[InspectionRecord], None] = lambda _record: None) -> None:
        self.sent: list[InspectionRecord] = []
        self.shown: list[StationState] = []
        self.is_open = False
        self._on_send = on_send

    def open(self) -> None:
        self.is_open = True

    def send(self, record: InspectionRecord) -> None:
        self._on_send(record)
        self.sent.append(record)

    def show(self, state: StationState) -> None:
        self.shown.append(state)

    def close(self) -> None:
        self.is_open = False


class FakeArchive:
    """Keeps every part; `on_save` may hang or raise."""

    def __init__(self, on_save: Callable[[Settled], None] = lambda _settled: None) -> None:
        self._on_save = on_save

    def names(self, settled: Settled) -> tuple[str, ...]:
        return (f"{settled.trigger.trigger_id}.png",)

    def save(self, settled: Settled) -> None:
        self._on_save(settled)


class Line:
    """A pipeline of fakes, and its records.

    Args:
        views: one camera, whose view is "main", or several views.
        given: further settings, hooks and arguments of `Pipeline`.
    """

    def __init__(
        self,
        views: Any,
        inspector: FakeInspector | None = None,
        *,
        outputs: list[FakeOutput] | None = None,
        deadline_ms: float = GENEROUS_S * 1e3,
        frame_limit_ms: float | None = None,
        debounce_ms: float = 0.0,
        limit_s: float = GENEROUS_S,
        on_record: Callable[[InspectionRecord], None] | None = None,
        **given: Any,
    ) -> None:
        if not isinstance(views, list):
            views = [View(ONLY_VIEW, views, inspector or FakeInspector())]
        self.views: list[View] = views
        self.outputs = outputs if outputs is not None else [FakeOutput()]
        self.records: list[InspectionRecord] = []
        self.pipeline = Pipeline(
            views=views,
            outputs={f"output {place}": one for place, one in enumerate(self.outputs)},
            settings=RunSettings(
                PartLimits(deadline_ms, frame_limit_ms, debounce_ms),
                limit_s=limit_s,
                **_taken(given, RunSettings),
            ),
            hooks=Hooks(on_record=on_record or self.records.append, **_taken(given, Hooks)),
            **given,
        )

    @property
    def camera(self) -> Any:
        return self.views[0].camera

    def run(self) -> RunSummary:
        summary = self.pipeline.run()
        self.check(summary.triggers)
        return summary

    def check(self, triggers: int) -> None:
        """Asserts one record, and one verdict on every output, for each trigger; and all closed."""
        identities = [record.trigger_id for record in self.records]
        assert len(identities) == len(set(identities)) == triggers
        for place, output in enumerate(self.outputs):
            assert [record.trigger_id for record in output.sent] == identities
            assert [r.verdict for r in output.sent] == [
                one.told[place].verdict for one in self.records
            ]
            assert not output.is_open
        assert not any(view.camera.is_open for view in self.views)  # type: ignore[attr-defined]

    def outcomes(self) -> list[str]:
        return [(record.cause or record.verdict).value for record in self.records]


def _taken(given: dict[str, Any], kind: type) -> dict[str, Any]:
    """Takes the fields of `kind` out of the settings."""
    return {field.name: given.pop(field.name) for field in fields(kind) if field.name in given}
