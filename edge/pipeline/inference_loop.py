"""Infers, on the thread that calls `Pipeline.run`."""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Iterator, Sequence

from edge.part.shot import Shot
from edge.pipeline.engine_health import EngineHealth
from edge.pipeline.intake import Intake
from edge.pipeline.ledger import Ledger
from edge.pipeline.preprocess_thread import PreparedShot, Ready
from edge.pipeline.settings import View
from inspection.errors import EngineError
from inspection.inspector import Inspection
from inspection.layout import PreparedFrame

_POLL_S = 0.2  # longest turn of an idle loop: a sign of life for the watchdog

_log = logging.getLogger(__name__)


class InferenceLoop:
    """Infers the preprocessed shots one after the other, and keeps idle engines warm.

    It runs an idle engine that failed again and again on an empty image: the station is not READY
    without it, and then no part would show that it works again.

    Args:
        ready: see `PreprocessThread`.
        keep_warm_ms: run an engine on an empty image when it was idle for so long; None: never.
        on_turn: called several times a second, also when no part comes, and once at the end.

    Attributes:
        turned_ns: start of the present turn, on the monotonic clock; None while the loop does not
            run.
        late_results: results that came after their deadline and were discarded.
    """

    def __init__(
        self,
        *,
        views: Sequence[View],
        intake: Intake,
        ledger: Ledger,
        ready: Ready,
        keep_warm_ms: float | None,
        on_turn: Callable[[], None],
    ) -> None:
        self.turned_ns: int | None = None
        self.late_results = 0
        self._views = views
        self._intake = intake
        self._ledger = ledger
        self._ready = ready
        self._keep_warm_s = float("inf") if keep_warm_ms is None else keep_warm_ms / 1e3
        self._on_turn = on_turn
        self._health = EngineHealth(views)

    @property
    def lost(self) -> str:
        """The reason why an engine judges no part; empty while all do, as far as is known."""
        return self._health.lost

    def run(self, is_given_up: Callable[[], bool]) -> None:
        """Infer until the shots end.

        Args:
            is_given_up: called while no shot comes: whether to end although the cameras have not.

        Raises:
            BaseException: an inspector raised it; its part has no verdict yet.
        """
        try:
            for shot, prepared in self._prepared(is_given_up):
                self._infer(shot, prepared)
        finally:
            self.turned_ns = None
            self._on_turn()

    def _prepared(self, is_given_up: Callable[[], bool]) -> Iterator[PreparedShot]:
        used_s = time.monotonic()
        while True:
            self.turned_ns = time.monotonic_ns()
            self._on_turn()
            try:
                item = self._ready.get(timeout=min(_POLL_S, self._keep_warm_s))
            except queue.Empty:
                if is_given_up():
                    return
                is_cold = time.monotonic() - used_s >= self._keep_warm_s
                self._warm(only_failing=not is_cold)
                if not is_cold:
                    continue  # those that work are as cold as before
            else:
                if item is None:
                    return
                if isinstance(item, BaseException):
                    raise item
                yield item
            used_s = time.monotonic()

    def _infer(self, shot: Shot, prepared: PreparedFrame | Inspection) -> None:
        if not self._ledger.is_open(shot.trigger):
            self._intake.finish(shot)  # it waited past its deadline
            return
        if isinstance(prepared, Inspection):  # the frame was refused
            inspection = prepared
        else:
            inspection = shot.inspector.infer(prepared, shot.trigger.deadline_ns)
            self._health.note_inspection(shot.inspector, inspection)
        is_in_time = self._ledger.report(shot.trigger, shot.view, inspection)
        self._intake.finish(shot)
        if not is_in_time:
            self.late_results += 1
            _log.warning(
                "%s: the result %s came %.1f ms after the deadline and was discarded",
                shot.trigger.trigger_id,
                inspection.verdict.value,
                (time.monotonic_ns() - shot.trigger.deadline_ns) / 1e6,
            )

    def _warm(self, *, only_failing: bool) -> None:
        """Run each engine once; views may share one."""
        inspectors = {
            engine: view.inspector for view in self._views for engine in view.inspector.engines
        }
        if only_failing:
            failing = filter(self._health.is_failing, inspectors)
            inspectors = {engine: inspectors[engine] for engine in failing}
        for engine, inspector in inspectors.items():
            try:
                inspector.warm(engine)
            except EngineError as error:  # the next part meets it too, and has its record
                self._note_cold(engine, str(error))
            else:
                self._health.note(engine, "")

    def _note_cold(self, engine: object, why: str) -> None:
        """Note an engine that failed without a part, unless a changeover closed it meanwhile."""
        for view in self._views:
            if engine in view.inspector.engines and not self._health.is_failing(engine):
                _log.warning("view %s: %s", view.name, why)
        self._health.note(engine, why)
