"""The thresholds of a recipe with more good parts, as `linewarden calibrations preview` tells them.

It runs as a process: the statistics are of the packages that calibrate, which a line does without.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from edge.panel.command import linewarden
from edge.panel.file_version import version_of
from edge.panel.refusals import Refused
from inspection.bundle.manifest import CALIBRATION_FOLDER

_LIMIT_S = 30.0
_WAIT_S = 10.0  # for the answers to others
_KEPT = 500


@dataclass(frozen=True)
class Step:
    """The threshold with some more good parts.

    Attributes:
        parts: good parts in all.
        bound: upper bound of the false reject rate.
    """

    parts: int
    threshold: float
    bound: float


@dataclass(frozen=True)
class Preview:
    """The thresholds without more good parts, with the first of them, and with all.

    Attributes:
        seal: of the calibration.
        threshold: in force now; that of `before` unless somebody moved it.
    """

    seal: str
    threshold: float
    before: Step
    one: Step
    all: Step


class ThresholdPreviews:
    """Asks once for each question. Safe for threads; one process at a time."""

    def __init__(self) -> None:
        self._asking = threading.Lock()
        self._known: OrderedDict[tuple[object, ...], Preview] = OrderedDict()

    def of(self, bundle: Path, recipe: str, scores: Sequence[float]) -> Preview:
        """Returns the thresholds of a recipe with good parts of these scores.

        Raises:
            LinewardenError: they cannot be told; the message says why.
            Refused: too many people ask now.
        """
        version = version_of(bundle / CALIBRATION_FOLDER / f"{recipe}.json")
        key = (bundle, recipe, version, *scores)
        if not self._asking.acquire(timeout=_WAIT_S):
            raise Refused(503, "problem.busy")
        try:
            if key not in self._known:
                self._known[key] = _ask(bundle, recipe, scores)
                while len(self._known) > _KEPT:
                    self._known.popitem(last=False)
            return self._known[key]
        finally:
            self._asking.release()


def _ask(bundle: Path, recipe: str, scores: Sequence[float]) -> Preview:
    # No exponents: the parser of the command takes "-1e-05" for an option.
    texts = [format(Decimal(score), "f") for score in scores]
    words = ("calibrations", "preview", bundle, f"--recipe={recipe}", "--json", "--score", *texts)
    found = json.loads(linewarden(*words, within_s=_LIMIT_S))
    steps = [Step(one["parts"], one["threshold"], one["bound"]) for one in found["steps"]]
    return Preview(found["seal"], found["threshold"], steps[0], steps[1], steps[-1])
