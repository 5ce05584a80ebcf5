"""The stages of a pipeline, seen from outside: which of them hang, and which have lost their peer.

Every stage has a thread that goes round, and says when it last did. One that does not within the
limit hangs: nothing in this process can mend that, so the watchdog ends it (`edge.service.daemon`).
One that has lost its camera or its trigger goes round and connects it again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Protocol


class Stage(Protocol):
    """A thread of the pipeline."""

    @property
    def turned_ns(self) -> int | None:
        """When it last went round, on the monotonic clock; None while it is not expected to."""


class Connected(Protocol):
    """What has a peer outside: a camera, a trigger."""

    @property
    def lost(self) -> str:
        """Why it has none now, for people; empty while it has."""


class StageHealth:
    """The stages of one pipeline. From any thread.

    Args:
        stages: by name.
        connected: those that can lose their peer.
        limit_s: a stage that does not go round for so long hangs.
    """

    def __init__(
        self, stages: Mapping[str, Stage], connected: Sequence[Connected], limit_s: float
    ) -> None:
        self._stages = stages
        self._connected = connected
        self._limit_s = limit_s

    @property
    def stalled(self) -> tuple[str, ...]:
        """The stages that hang."""
        oldest_ns = time.monotonic_ns() - round(self._limit_s * 1e9)
        turns = [(name, stage.turned_ns) for name, stage in self._stages.items()]
        return tuple(name for name, at in turns if at is not None and at < oldest_ns)

    @property
    def faults(self) -> list[str]:
        """What keeps the stages from taking parts, for people."""
        lost = [one.lost for one in self._connected]
        hang = [f"{name} hangs, for {self._limit_s:g} s now" for name in self.stalled]
        return [*filter(None, lost), *hang]
