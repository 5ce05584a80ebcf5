"""Whole frames of running lines, for pages that collect them. Reads a frame only when asked."""

from __future__ import annotations

import base64
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edge.panel.lines import PanelLine
from edge.panel.refusals import Refused
from edge.panel.teach.quality import Measures, measure
from inspection.errors import LineError

_PERIOD_S = 0.5
_SHARE = 10  # a frame takes at most a tenth of the time, however large it is
_HELD = 3  # a person sees a frame, and collects it while the next one is being read
_WITHIN_S = 2.0
_BYTES_MAX = 100_000_000


class LiveFrame(NamedTuple):
    """A whole frame, pixel for pixel."""

    trigger_id: str
    image: npt.NDArray[np.uint8]
    measures: Measures


class _Reader:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.held: deque[LiveFrame] = deque(maxlen=_HELD)
        self.next_s = float("-inf")


class LiveFrames:
    """The newest frames of lines, by line and view. Safe for threads; all pages share a frame."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._readers: dict[tuple[str, str], _Reader] = {}

    def newest(self, line: PanelLine, view: str) -> LiveFrame:
        """Returns the newest frame, or one that was read a moment ago.

        Args:
            view: empty for the deciding one.

        Raises:
            LineError: the line does not run, refuses, or gives parts faster than they can be read.
        """
        reader = self._reader(line, view)
        with reader.lock:
            now_s = self._clock()
            if not reader.held or now_s >= reader.next_s:
                frame = _read(line, view, reader.held[-1] if reader.held else None)
                if not reader.held or frame is not reader.held[-1]:
                    reader.held.append(frame)
                took_s = self._clock() - now_s
                reader.next_s = self._clock() + max(_PERIOD_S, _SHARE * took_s)
            return reader.held[-1]

    def find(self, line: PanelLine, view: str, trigger_id: str) -> LiveFrame:
        """Returns a frame that was read before.

        Raises:
            Refused: it is no longer held.
        """
        held = list(self._reader(line, view).held)
        found = next((one for one in held if one.trigger_id == trigger_id), None)
        if found is None:
            raise Refused(409, "problem.frame_gone")
        return found

    def _reader(self, line: PanelLine, view: str) -> _Reader:
        with self._lock:
            return self._readers.setdefault((line.name, view), _Reader())


def _read(line: PanelLine, view: str, last: LiveFrame | None) -> LiveFrame:
    """Reads the newest frame; `last` when the line has no newer one."""
    wanted: dict[str, Any] = {"view": view} if view else {}
    answer = line.ask("frame", within_s=_WITHIN_S, **wanted)
    trigger_id, shape = str(answer["trigger_id"]), tuple(map(int, answer["shape"]))
    if last is not None and last.trigger_id == trigger_id:
        return last
    size = int(np.prod(shape))
    if not 0 < size <= _BYTES_MAX:
        raise LineError(f"the frame of {trigger_id} has {size} bytes, more than can be collected")
    content = bytearray(base64.b64decode(answer["pixels"]))
    wanted = {"trigger_id": trigger_id, "view": answer["view"]}
    while len(content) < size:
        answer = line.ask("frame", within_s=_WITHIN_S, offset=len(content), **wanted)
        content += base64.b64decode(answer["pixels"])
    image = np.frombuffer(content, np.uint8).reshape(shape)
    return LiveFrame(trigger_id, image, measure(image))
