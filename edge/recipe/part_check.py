"""Reference parts that are shown to the camera: READY is withheld until each is judged rightly.

A golden part must pass, with a score like it always has; a limit part, with the smallest defect
that must be found, must be rejected. They are shown one after the other in the order of the
configuration; a wrong verdict starts the sequence again. It is due at the start, after `every_h`,
and when somebody asks for it. Meanwhile the station is not READY, so the line sends no other parts;
one that was under way is taken for a reference part, and most likely starts the sequence again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, model_validator

from edge.part.record import InspectionRecord
from inspection.config.loading import StrictModel
from inspection.digits import comparable
from inspection.verdict import Verdict

_log = logging.getLogger(__name__)


class ReferencePart(StrictModel):
    """A part that is kept at the line for checks.

    Attributes:
        name: the label on the part.
        expect: the verdict it must get.
        score: lowest and highest raw score it may have; measure it again after calibrating, and
            after a build, which may put a first stage before the FP32 graph. Without
            it, a part that must pass may have any score from the lowest of the good parts on: a
            lower one means that the camera sees something else.
    """

    name: Annotated[str, Field(min_length=1)]
    expect: Literal["PASS", "REVIEW", "REJECT"]
    score: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _in_order(self) -> ReferencePart:
        if self.score is not None and self.score[0] > self.score[1]:
            raise ValueError("score: [lowest, highest]")
        return self


class ChecksConfig(StrictModel):
    """When which reference parts are shown.

    Attributes:
        parts: in the order in which they are shown.
        at_start: whether the line starts with a check.
        every_h: hours after which a check is due again; None for never.
    """

    parts: tuple[ReferencePart, ...] = Field(min_length=1)
    at_start: bool = True
    every_h: Annotated[float, Field(gt=0)] | None = None


@dataclass(frozen=True)
class CheckStatus:
    """The state of a check.

    Attributes:
        due: the last result, and the part to show next; None when no check is due.
        passed, failed: sequences that ended so.
    """

    due: str | None
    passed: int
    failed: int


class PartCheck:
    """The check of a station. Safe for threads.

    Args:
        good_scores: of the calibration of each view.
        clock_ns: monotonic clock in nanoseconds.

    Attributes:
        passed, failed: sequences that ended so.
    """

    def __init__(
        self,
        config: ChecksConfig,
        good_scores: Mapping[str, Collection[float]],
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.passed = 0
        self.failed = 0
        self._config = config
        self._lowest_good = {
            view: min(scores, default=float("-inf")) for view, scores in good_scores.items()
        }
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._awaited: int | None = None  # place in the sequence; None when no check is due
        self._last_ns = clock_ns()
        self._problem = ""
        if config.at_start:
            self._await_first("the check at the start")

    def continue_from(self, earlier: PartCheck) -> None:
        """Go on from the check of the same recipe, which was loaded again since.

        A check that is due stays due, from its first part on; the hours until the next one count
        on.
        """
        with earlier._lock:
            is_due, problem = earlier._awaited is not None, earlier._problem
            passed, failed, last_ns = earlier.passed, earlier.failed, earlier._last_ns
        with self._lock:
            self.passed, self.failed, self._last_ns = passed, failed, last_ns
            if is_due and self._awaited is None:
                self._awaited, self._problem = 0, problem

    def begin(self) -> None:
        """Ask for a check now; the parts that come next are the reference parts."""
        with self._lock:
            self._await_first("the check that was asked for")

    @property
    def status(self) -> CheckStatus:
        """The state of the check."""
        with self._lock:
            return CheckStatus(self._reason(), self.passed, self.failed)

    def blocked(self) -> str | None:
        """Returns why the station is not ready, and the part to show; None when no check is due."""
        with self._lock:
            self._begin_when_due()
            return self._reason()

    def take(self, record: InspectionRecord) -> None:
        """Look at a part; nothing happens when no check is due."""
        with self._lock:
            self._begin_when_due()
            if self._awaited is None:
                return
            part = self._config.parts[self._awaited]
            if record.verdict is Verdict.NO_VERDICT:
                self._tell(f"{part.name} got no verdict ({record.message})")
                return
            wrong = self._difference(part, record)
            if wrong:
                self.failed += 1
                self._awaited = 0
                self._tell(f"{part.name} {wrong}")
            elif self._awaited + 1 < len(self._config.parts):
                self._awaited += 1
                self._tell(f"{part.name} is right")
            else:
                self._pass()

    def _difference(self, part: ReferencePart, record: InspectionRecord) -> str:
        if record.verdict.value != part.expect:
            return f"got {record.verdict.value} instead of {part.expect}"
        score = record.score if record.score is not None else float("nan")
        if part.score is not None:
            low, high = part.score
        elif part.expect == "PASS":
            low, high = self._lowest_good[record.view], float("inf")
        else:
            return ""
        if low <= score <= high:
            return ""
        had, lowest, highest = comparable(score, low, high)
        return f"has the score {had}, outside {lowest} to {highest}"

    def _begin_when_due(self) -> None:
        every_h = self._config.every_h
        if self._awaited is None and every_h is not None:
            elapsed_ns = self._clock_ns() - self._last_ns
            if elapsed_ns >= every_h * 3.6e12:
                self._await_first(f"the check every {every_h:g} h")

    def _await_first(self, why: str) -> None:
        self._awaited = 0
        self._tell(f"{why} is due")

    def _tell(self, problem: str) -> None:
        self._problem = problem
        _log.warning("not ready: %s", self._reason())

    def _reason(self) -> str | None:
        if self._awaited is None:
            return None
        return f"{self._problem}: show {self._config.parts[self._awaited].name}"

    def _pass(self) -> None:
        self.passed += 1
        self._awaited = None
        self._last_ns = self._clock_ns()
        _log.warning("all reference parts are right: ready")
