"""Preprocesses frames on a thread, so that it overlaps the inference of the part before."""

from __future__ import annotations

import queue
import threading
import time

from edge.part.shot import Shot
from edge.pipeline.intake import Intake
from edge.pipeline.ledger import Ledger
from inspection.inspector import Inspection
from inspection.layout import PreparedFrame

# A refused frame takes its place in the order of the parts, with its NO_VERDICT.
PreparedShot = tuple[Shot, PreparedFrame | Inspection]
Ready = queue.SimpleQueue[PreparedShot | BaseException | None]


class PreprocessThread:
    """Preprocesses the shots of the intake in order. The intake bounds their number.

    Attributes:
        ready: the next input of the engine: a preprocessed shot, an error to raise there, or None
            at the end.
        turned_ns: start of the shot in hand, on the monotonic clock; None between two.
    """

    def __init__(self, intake: Intake, ledger: Ledger) -> None:
        self.ready: Ready = queue.SimpleQueue()
        self.turned_ns: int | None = None
        self._intake = intake
        self._ledger = ledger
        self._thread = threading.Thread(target=self._run, name="preparation", daemon=True)

    def start(self) -> None:
        """Begin to preprocess; the thread ends with the shots of the intake."""
        self._thread.start()

    def _run(self) -> None:
        while (shot := self._intake.shots.get()) is not None:
            if not self._ledger.is_open(shot.trigger):
                self._intake.finish(shot)  # it waited past its deadline
                continue
            self.turned_ns = time.monotonic_ns()
            try:
                self.ready.put((shot, shot.inspector.prepare(shot.frame.image)))
            except BaseException as error:  # noqa: BLE001 - raised where the engine waits
                self.ready.put(error)
                return
            finally:
                self.turned_ns = None
        self.ready.put(None)
