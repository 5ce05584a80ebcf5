"""Whole frames of the newest part, pixel for pixel, for people who collect images to teach with.

The line copies pieces of the frame and encodes nothing, so that each answer is short work. The
peer asks for the first piece of the newest part, then for the others of that part.
"""

from __future__ import annotations

import base64
import threading
from typing import Any

import numpy as np

from edge.part.frame import Frame
from edge.part.result import Settled
from edge.station.newest_part import NewestPart
from inspection.errors import LineError

PIECE_BYTES = 1 << 18  # before base64: about a millisecond of the line's processor


class WholeFrame:
    """The frame that is being read. Safe for threads; one part at a time, of the latest reader."""

    def __init__(self, newest: NewestPart) -> None:
        self._newest = newest
        self._lock = threading.Lock()
        self._read: Settled | None = None

    def piece(self, trigger_id: str | None, view: str | None, offset: int) -> dict[str, Any]:
        """Returns a piece of a frame.

        Keys: "trigger_id"; "view"; "shape", height and width, and 3 for BGR; "pixels", base64 of
        the uint8 values from `offset` on, row by row.

        Args:
            trigger_id: of an earlier answer; None for the newest part.
            view: None for the deciding one.

        Raises:
            LineError: there is no part, no such view, no frame, or another reader came between.
        """
        with self._lock:
            if trigger_id is None:
                self._read = self._newest.newest
            part = self._read
        if part is None:
            raise LineError("there is no part yet: trigger one")
        if trigger_id not in {None, part.trigger.trigger_id}:
            raise LineError(f"the frame of {trigger_id} is no longer there: read the newest one")
        name, frame = _frame(part, view)
        pixels = np.ascontiguousarray(frame.image).reshape(-1)[offset : offset + PIECE_BYTES]
        return {
            "trigger_id": part.trigger.trigger_id,
            "view": name,
            "shape": list(frame.image.shape),
            "pixels": base64.b64encode(pixels.tobytes()).decode(),
        }


def _frame(part: Settled, view: str | None) -> tuple[str, Frame]:
    found = [one for one in part.views if one.view == view] if view else [part.decisive]
    if not found:
        raise LineError(f"no view {view!r}: known are {', '.join(v.view for v in part.views)}")
    if found[0].frame is None:
        raise LineError(f"the camera gave no frame of {part.trigger.trigger_id}")
    return found[0].view, found[0].frame
