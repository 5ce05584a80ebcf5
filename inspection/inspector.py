"""Inspects one frame and returns one verdict: plain Python, for notebooks and for the line.

::

    from inspection import Inspector

    inspector = Inspector.open("bundles/flange")
    inspection = inspector.inspect(frame)
    print(inspection.verdict, inspection.score)
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
import numpy.typing as npt

from inspection.bundle import Bundle, Chosen, chosen_here, open_bundle
from inspection.bundle.calibration_file import Calibration, RecipeIdentity
from inspection.engine import Engine, GraphShape, TritonServer
from inspection.errors import EngineError, FrameError, PartNotFoundError
from inspection.layout import FramePreparer, PreparedFrame
from inspection.layout.alignment import Pose
from inspection.layout.zones import ZoneMap
from inspection.opening import EarlyPass, open_chosen, open_early, run_empty
from inspection.preprocess import Crop
from inspection.verdict import Cause, Decision, Thresholds, Verdict, decide, decide_by_zone

AnomalyMap = npt.NDArray[np.float32]  # (H, W)


@dataclass(frozen=True)
class StageTimes:
    """Durations of one inspection in nanoseconds."""

    preprocess_ns: int
    infer_ns: int
    decide_ns: int

    def after(self, first: StageTimes) -> StageTimes:
        """Returns the durations of both stages of a cascade, which share the preprocessing."""
        return StageTimes(
            first.preprocess_ns, first.infer_ns + self.infer_ns, first.decide_ns + self.decide_ns
        )


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """Verdict on one frame with its evidence.

    Attributes:
        score: raw score of the graph; NaN when there is none.
        thresholds: thresholds of the recipe; with zones, the highest threshold of all zones.
        anomaly_map: float32 (H, W) at model resolution, raw; None when the engine gave none.
        mask: bool (H, W) at model resolution: the defect; empty on PASS.
        cause: reason for NO_VERDICT; None otherwise.
        message: explains `cause` to the operator; empty without a cause.
        crop: part of the frame that map and mask cover; None for the whole frame.
        zones: uint8 (H, W) at model resolution: the zone of each pixel from 1, 0 for ignored; None
            when the whole map counts.
        zone: name of the zone that decided; empty without zones.
        pose: position and angle of the part; None without alignment.
        is_early: True when a first stage passed the part, and score and map are of its precision,
            or when it failed.
    """

    verdict: Verdict
    score: float
    thresholds: Thresholds
    anomaly_map: npt.NDArray[np.float32] | None
    mask: npt.NDArray[np.bool_]
    cause: Cause | None = None
    message: str = ""
    times: StageTimes = field(default_factory=lambda: StageTimes(0, 0, 0))
    crop: Crop | None = None
    zones: ZoneMap | None = None
    zone: str = ""
    pose: Pose | None = None
    is_early: bool = False

    def native_mask(self, frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        """Returns the mask at the resolution of `frame`, bool (H, W), nearest neighbour."""
        return self._native(self.mask.astype(np.uint8), frame) > 0

    def native_zones(self, frame: npt.NDArray[np.uint8]) -> ZoneMap | None:
        """Returns the zones at the resolution of `frame`, uint8 (H, W), nearest neighbour."""
        return None if self.zones is None else self._native(self.zones, frame)

    def _native(
        self, values: npt.NDArray[np.uint8], frame: npt.NDArray[np.uint8]
    ) -> npt.NDArray[np.uint8]:
        native = np.zeros(frame.shape[:2], dtype=np.uint8)
        shown = native if self.crop is None else self.crop.of(native)
        shown[:] = cv2.resize(values, shown.shape[::-1], interpolation=cv2.INTER_NEAREST)
        return native


def no_verdict(
    cause: Cause,
    message: str,
    *,
    thresholds: Thresholds = Thresholds(float("nan"), float("nan")),  # noqa: B008 - frozen
    shape: tuple[int, int] = (1, 1),
) -> Inspection:
    """Returns the inspection of a frame or part without a result.

    Args:
        thresholds: thresholds of the active recipe, if there is one.
        shape: (H, W) of the empty mask.
    """
    return Inspection(
        verdict=Verdict.NO_VERDICT,
        score=float("nan"),
        thresholds=thresholds,
        anomaly_map=None,
        mask=np.zeros(shape, dtype=np.bool_),
        cause=cause,
        message=message,
    )


class Inspector:
    """A verified bundle, a calibrated recipe and an open engine.

    Only one thread at a time may call `infer`; another thread may run `prepare` meanwhile. Use the
    inspector as a context manager, or call `close`.

    Args:
        recipe_number: number that the line requested; None where recipes have no numbers.
        early: the first stage, where `engine` is the second one of a cascade.
        chosen: the engines and artefacts that run, for reports; None when they are not known.
    """

    def __init__(
        self,
        bundle: Bundle,
        calibration: Calibration,
        engine: Engine,
        recipe_number: int | None = None,
        *,
        early: EarlyPass | None = None,
        chosen: Chosen | None = None,
    ) -> None:
        self.bundle = bundle
        self._calibration = calibration
        self.chosen = chosen
        self._engine = engine
        self._early = early
        self._zone_names = tuple(calibration.zone_thresholds)
        self._zone_thresholds = tuple(calibration.zone_thresholds.values())
        if early is not None and calibration.has_zones:
            raise ValueError("the margin of a first stage is one of the score: zones have none")
        self._early_thresholds = calibration.thresholds
        if early is not None:
            limits = calibration.thresholds
            lowest = limits.reject if limits.review is None else limits.review
            self._early_thresholds = Thresholds(
                reject=early.margin.limit(lowest),
                pixel=math.inf,  # what the first stage does not pass gets another mask
            )
        self._preparer = FramePreparer(bundle.manifest.preprocessing, calibration.layout)
        self._identity = calibration.identity(recipe_number, "" if early is None else early.sha256)

    @classmethod
    def open(
        cls,
        bundle: str | Path | Bundle,
        recipe: str = "default",
        *,
        engine: str | None = None,
        artefact: str | None = None,
        threads: int | None = None,
        server: TritonServer | None = None,
    ) -> Inspector:
        """Opens and warms an artefact of a bundle with a recipe that was calibrated through it.

        Args:
            engine: name of the engine; None for what `linewarden build` chose here.
            artefact: file of the bundle to run; None likewise, see `chosen_here`.
            server: for the engine `triton`.

        Raises:
            BundleError: the bundle does not verify, or the thresholds belong to another artefact.
            EngineError: the engine is not installed or cannot run the artefact.
        """
        if not isinstance(bundle, Bundle):
            bundle = open_bundle(Path(bundle))
        chosen = chosen_here(bundle, engine, artefact)
        calibration = bundle.calibration(recipe, chosen.artefact, chosen.engine)
        opened = open_chosen(bundle, chosen, threads=threads, server=server)
        try:
            early = None if calibration.has_zones else open_early(bundle, chosen, threads=threads)
        except BaseException:
            opened.close()
            raise
        running = chosen if early is not None else replace(chosen, first=None)
        return cls(bundle, calibration, opened, early=early, chosen=running)

    def inspect(self, frame: npt.NDArray[np.uint8]) -> Inspection:
        """Inspects one native frame, uint8 (H, W) grey or (H, W, 3) BGR.

        A bad frame or a failed engine does not raise: it gives NO_VERDICT with its cause.
        """
        prepared = self.prepare(frame)
        return prepared if isinstance(prepared, Inspection) else self.infer(prepared)

    def prepare(self, frame: npt.NDArray[np.uint8]) -> PreparedFrame | Inspection:
        """Does the first step of `inspect`, which needs no engine. Any thread may call this.

        Returns:
            The input of `infer`, or NO_VERDICT with its cause when the frame is refused.
        """
        try:
            return self._preparer.prepare(frame)
        except PartNotFoundError as error:
            return self._no_verdict(Cause.PART_NOT_FOUND, str(error))
        except FrameError as error:
            return self._no_verdict(Cause.FRAME, str(error))

    def infer(self, prepared: PreparedFrame, deadline_ns: int | None = None) -> Inspection:
        """Does the second step of `inspect`: the engine and the decision.

        In a cascade, the first stage passes what is clear of all thresholds by its margin. It
        never rejects: what it does not pass gets score, map and verdict from the second stage.

        Args:
            deadline_ns: see `Engine.infer`.
        """
        if self._early is None:
            return self._infer(self._engine, self._decide, prepared, deadline_ns)
        first = self._infer(self._early.engine, self._decide_early, prepared, deadline_ns)
        if first.verdict is Verdict.PASS or first.cause is Cause.ENGINE:
            return replace(first, is_early=True)
        if deadline_ns is not None and time.monotonic_ns() > deadline_ns:
            # Nobody waits for a second look, and it would delay the next part.
            late = self._no_verdict(Cause.DEADLINE, "the first look took all of the time")
            return replace(late, times=first.times)
        second = self._infer(self._engine, self._decide, prepared, deadline_ns)
        return replace(second, times=second.times.after(first.times))

    def _infer(
        self,
        engine: Engine,
        decide_on: Callable[[float, AnomalyMap, ZoneMap | None], Decision],
        prepared: PreparedFrame,
        deadline_ns: int | None,
    ) -> Inspection:
        started = time.monotonic_ns()
        try:
            prediction = engine.infer(prepared.image[np.newaxis], deadline_ns)
        except EngineError as error:
            return self._no_verdict(Cause.ENGINE, str(error))
        inferred = time.monotonic_ns()
        anomaly_map = prediction.maps[0]
        decision = decide_on(float(prediction.scores[0]), anomaly_map, prepared.zones)
        decided = time.monotonic_ns()
        return Inspection(
            verdict=decision.verdict,
            score=decision.score,
            thresholds=self.calibration.thresholds,
            anomaly_map=anomaly_map,
            mask=decision.mask,
            cause=decision.cause,
            message="the score or the anomaly map is not finite" if decision.cause else "",
            times=StageTimes(prepared.preprocess_ns, inferred - started, decided - inferred),
            crop=prepared.crop,
            zones=prepared.zones,
            zone="" if decision.zone is None else self._zone_names[decision.zone],
            pose=prepared.pose,
        )

    @property
    def calibration(self) -> Calibration:
        """Returns the calibration; it cannot change, because it sets the limit of a first stage."""
        return self._calibration

    @property
    def identity(self) -> RecipeIdentity:
        """Identifies the bundle, calibration and recipe behind the verdicts."""
        return self._identity

    @property
    def engine_name(self) -> str:
        """Returns the engines in words, in the order in which they see a part."""
        return "" if self.chosen is None else self.chosen.described

    @property
    def margin(self) -> float:
        """Returns how far a score may be from that of the FP32 graph; 0 without a first stage."""
        return 0.0 if self._early is None else self._early.margin.width

    @property
    def engines(self) -> tuple[Engine, ...]:
        """Returns the engines in the order in which they see a part; inspectors may share them."""
        return (self._engine,) if self._early is None else (self._early.engine, self._engine)

    def warm(self, engine: object) -> None:
        """Runs one of `engines` on an empty image, so that the next part is not slow.

        Raises:
            EngineError: it failed.
        """
        graph = self.bundle.manifest.graph
        for one in self.engines:
            if one is engine:
                run_empty(one, GraphShape(graph.height, graph.width))

    def close(self) -> None:
        """Releases the engines. Safe to call twice."""
        for engine in self.engines:
            engine.close()

    def __enter__(self) -> Inspector:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _decide(self, score: float, anomaly_map: AnomalyMap, zones: ZoneMap | None) -> Decision:
        if zones is None:
            return decide(score, anomaly_map, self.calibration.thresholds)
        return decide_by_zone(score, anomaly_map, zones, self._zone_thresholds)

    def _decide_early(
        self, score: float, anomaly_map: AnomalyMap, _zones: ZoneMap | None
    ) -> Decision:
        return decide(score, anomaly_map, self._early_thresholds)

    def _no_verdict(self, cause: Cause, message: str) -> Inspection:
        graph = self.bundle.manifest.graph
        shape = (graph.height, graph.width)
        return no_verdict(cause, message, thresholds=self.calibration.thresholds, shape=shape)
