"""Other cameras for a running line: in use all at once, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from edge.pipeline.views import ViewCamera
from inspection.errors import CameraError


class CameraChange:
    """Cameras that are opened anew, each by its grabber, where all threads wait for one another.

    Whatever goes wrong in one of them, or in `then`, breaks the change off for all.

    Args:
        cameras: by their views.
        then: called when all are open, before any of them is read; it changes all or nothing.
        limit_s: how long opening them may take.
    """

    def __init__(
        self, cameras: Mapping[str, ViewCamera], then: Callable[[], None], limit_s: float
    ) -> None:
        self.cameras = cameras
        self._then = then
        self._limit_s = limit_s
        self._all_open = threading.Barrier(len(cameras) + 1, action=self._enter)
        self._errors: list[str] = []

    @property
    def is_off(self) -> bool:
        """Whether it was broken off, so that all cameras stay as they were."""
        return self._all_open.broken

    def fail(self, error: str) -> None:
        """Break it off: one camera cannot be opened."""
        self._errors.append(error)
        self._all_open.abort()

    def wait(self) -> bool:
        """Wait until all cameras are open and in use; False when it was broken off."""
        try:
            self._all_open.wait(self._limit_s)
        except threading.BrokenBarrierError:
            return False
        return True

    def finish(self) -> None:
        """Wait for the end of the change, on the thread that asked for it.

        Raises:
            CameraError: it was broken off.
        """
        if not self.wait():
            errors = "; ".join(self._errors) or f"not open within {self._limit_s:g} s"
            raise CameraError(f"the cameras stay as they were: {errors}")

    def _enter(self) -> None:
        """Let all begin, on the thread that came last."""
        try:
            self._then()
        except Exception as error:  # which camera's thread this is has nothing to do with it
            self._errors.append(repr(error))
            raise threading.BrokenBarrierError from error
