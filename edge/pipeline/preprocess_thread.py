"""Preprocessing on a thread of its own, so that it overlaps the inference of the part before."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass

from edge.pipeline.intake import Intake, Shot
from edge.pipeline.ledger import Ledger
from inspection.inspector import Prepared


@dataclass(frozen=True)
class PreparedShot:
    """A shot that is ready for the engine."""

    shot: Shot
    prepared: Prepared


class PreprocessThread:
    """Prepares the shots of the intake in order. The intake bounds how many there are.

    Attributes:
        ready: what the engine takes next: a prepared shot, an error to raise there, or None when
            no more will come.
        turned_ns: when it began with the shot in hand, on the monotonic clock; None between two.
    """

    def __init__(self, intake: Intake, ledger: Ledger) -> None:
        self.ready: queue.SimpleQueue[PreparedShot | BaseException | None] = queue.SimpleQueue()
        self.turned_ns: int | None = None
        self._intake = intake
        self._ledger = ledger
        self._thread = threading.Thread(target=self._run, name="preparation", daemon=True)

    def start(self) -> None:
        """Begin to prepare; ends with the intake."""
        self._thread.start()

    def _run(self) -> None:
        while (shot := self._intake.shots.get()) is not None:
            if not self._ledger.is_open(shot.trigger):
                self._intake.finish(shot)  # it waited past its deadline
                continue
            self.turned_ns = time.monotonic_ns()
            try:
                self.ready.put(PreparedShot(shot, shot.inspector.prepare(shot.frame.image)))
            except BaseException as error:  # noqa: BLE001 - raised where the engine waits
                self.ready.put(error)
                return
            finally:
                self.turned_ns = None
        self.ready.put(None)
