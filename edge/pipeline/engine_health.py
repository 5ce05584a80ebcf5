"""Whether the engines run: one that fails again and again judges no part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from edge.part.shot import PartInspector
from edge.pipeline.settings import View
from inspection.inspector import Inspection
from inspection.verdict import Cause

_FAILURES_MAX = 3  # one after the other; a single one costs one part its verdict


class _Failures(NamedTuple):
    number: int
    why: str


class EngineHealth:
    """Counts the failed runs of the engines in force. One thread notes them; any may ask.

    Args:
        views: a changeover replaces their inspectors, and so the engines.
    """

    def __init__(self, views: Sequence[View]) -> None:
        self._views = views
        self._failures: dict[object, _Failures] = {}

    def note(self, engine: object, why: str) -> None:
        """Note a run of an engine, which views may share.

        Args:
            why: the error; empty when it passed.
        """
        in_force = {one for view in self._views for one in view.inspector.engines}
        failures = {one: seen for one, seen in self._failures.items() if one in in_force}
        before = failures.pop(engine, None)
        if why and engine in in_force:
            failures[engine] = _Failures(before.number + 1 if before else 1, why)
        self._failures = failures

    def note_inspection(self, inspector: PartInspector, inspection: Inspection) -> None:
        """Note the runs of the engines behind an inspection."""
        why = inspection.message if inspection.cause is Cause.ENGINE else ""
        *firsts, last = inspector.engines
        for first in firsts:
            self.note(first, why if inspection.is_early else "")
        # After a late first look, there was no second one.
        if not inspection.is_early and inspection.cause is not Cause.DEADLINE:
            self.note(last, why)

    def is_failing(self, engine: object) -> bool:
        """Whether an engine failed when it ran last."""
        return engine in self._failures

    @property
    def lost(self) -> str:
        """The reason why no engine judges the parts of some views; empty while all do."""
        failures = [
            (view.name, self._failures.get(engine))
            for view in self._views
            for engine in view.inspector.engines
        ]
        return "; ".join(
            f"view {name}: the engine fails each time: {one.why}"
            for name, one in failures
            if one is not None and one.number >= _FAILURES_MAX
        )
