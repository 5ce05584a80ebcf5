"""Whether the engines run: one that fails again and again judges no part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from edge.pipeline.settings import View

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
        self._failures: dict[tuple[object, bool], _Failures] = {}

    def note(self, engine: object, why: str, *, is_early: bool = False) -> None:
        """Note a run of an engine, which views may share.

        Args:
            why: the error; empty when it passed.
            is_early: it was the first stage before this engine, which ran alone.
        """
        in_force = {view.inspector.engine for view in self._views}
        failures = {one: seen for one, seen in self._failures.items() if one[0] in in_force}
        before = failures.pop((engine, is_early), None)
        if why and engine in in_force:
            failures[engine, is_early] = _Failures(before.number + 1 if before else 1, why)
        elif not is_early:
            failures.pop((engine, True), None)  # the first stage ran before it
        self._failures = failures

    def is_failing(self, engine: object) -> bool:
        """Whether an engine, or the first stage before it, failed when it ran last."""
        return (engine, False) in self._failures or (engine, True) in self._failures

    @property
    def lost(self) -> str:
        """The reason why no engine judges the parts of some views; empty while all do."""
        failures = [
            (view.name, self._failures.get((view.inspector.engine, is_early)))
            for view in self._views
            for is_early in (True, False)
        ]
        return "; ".join(
            f"view {name}: the engine fails each time: {one.why}"
            for name, one in failures
            if one is not None and one.number >= _FAILURES_MAX
        )
