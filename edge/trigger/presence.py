"""Detects parts in the frames of a free-running camera.

The trigger learns the empty line from the first frames and follows it slowly while it is empty, so
that slow changes of the light are not parts. A part is there when enough pixels of the region
differ from the empty line in several frames in a row; it is gone when less than half as many do,
again in several frames. One part gives one trigger, on the last of the frames that show its
arrival. Place the region at the place of judgement, and make it small enough for a gap between two
parts.

When the light or the exposure changes at once, the empty line looks like a part that never leaves.
A part that waits shows one picture; parts that pass meanwhile change it. After `changes_max`
changes the trigger ends the line with an error, because parts pass unseen; the same holds for parts
that pass while it learns. A picture that stays is a fault after `still_limit_s`, until the line is
seen empty: without light no part is seen, and a part that waits looks no different. The trigger
learns again when the camera was opened again, as after a loss and after a changeover to other
settings of the camera.
"""

from __future__ import annotations

import logging
from typing import Annotated, Literal

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from edge.encoder import Encoder
from edge.part.frame import Frame
from edge.trigger.base import KindConfig
from inspection.errors import LineError
from inspection.preprocess import Crop

_SIDE_PX = 64  # the reduced region, which averages the noise of the sensor
_FOLLOWED = 0.02  # share of a change of the empty line, per frame
_GONE = 0.5  # part of `share`

_log = logging.getLogger(__name__)

Reduced = npt.NDArray[np.float32]
"""The region in grey, (H, W), at most `_SIDE_PX`."""

Share = Annotated[float, Field(gt=0, lt=1)]


class PresenceTriggerConfig(KindConfig):
    """Detects parts in the frames of a free-running camera; see `edge.trigger.presence`.

    Attributes:
        view: the view with the frames of the trigger, where the line has several.
        region: place where a part triggers its inspection. None: the whole frame.
        difference: grey levels by which a pixel differs from the empty line.
        share: least share of different pixels in the region for a part.
        frames: number of frames in a row for the arrival of a part, and for its end.
        learn_frames: number of frames of the empty line at the start, in which nothing moves.
        changes_max: how often the picture in the region may change, by `difference` and `share`,
            until the line is seen empty. A long part with a strong pattern needs more.
        still_limit_s: a part that shows the same picture for so long is a fault, until the line is
            seen empty: without light no part is seen. None for lines on which parts wait longer.
    """

    kind: Literal["presence"]
    view: str | None = None
    region: Crop | None = None
    difference: Annotated[float, Field(gt=0, lt=255)] = 25.0
    share: Share = 0.2
    frames: Annotated[int, Field(ge=1, le=100)] = 2
    learn_frames: Annotated[int, Field(ge=1, le=1000)] = 10
    changes_max: Annotated[int, Field(ge=1, le=100_000)] = 50
    still_limit_s: Annotated[float, Field(gt=0)] | None = 60.0

    def driver(self, _encoder: Encoder | None) -> PresenceTrigger:
        """Returns the trigger, not yet opened."""
        return PresenceTrigger(self)


class PresenceTrigger:
    """Opens a part on the frame that shows it; see `edge.trigger.base.FrameTrigger`.

    `opens` raises LineError when the region reaches beyond the frame, and after `changes_max`.

    Attributes:
        lost: see `FrameTrigger.lost`.
    """

    def __init__(self, config: PresenceTriggerConfig) -> None:
        self._config = config
        self._sequence = -1  # of the last frame
        self._begin()

    def announces(self, view: str) -> bool:
        """Returns whether the trigger looks at a view."""
        return self._config.view in (None, view)

    def _begin(self) -> None:
        """Forgets everything, to learn the empty line."""
        self._learned = 0
        self._empty: Reduced | None = None
        self._is_there = False
        self._streak = 0  # frames in a row that contradict `_is_there`
        self._shown: Reduced | None = None  # the picture of the part at its last change
        self._changes = 0
        self._shown_ns = 0  # when that picture was captured
        self.lost = "trigger presence: learns the empty line, keep it empty; no part is seen yet"

    def opens(self, view: str, frame: Frame | None) -> bool:
        """Returns whether a part has come with this frame; see `FrameTrigger.opens`."""
        if frame is None or not self.announces(view):
            return False
        if frame.sequence < self._sequence:
            _log.warning("presence: the camera was opened again, so the empty line is learned anew")
            self._begin()
        self._sequence = frame.sequence
        seen = self._reduced(frame.image)
        if self._learned < self._config.learn_frames or self._empty is None:
            self._learn(seen)
            return False
        share = self._share(seen, self._empty)
        limit = self._config.share * (_GONE if self._is_there else 1.0)
        if (share >= limit) == self._is_there:
            self._streak = 0
            if share < self._config.share * _GONE:
                self._empty += _FOLLOWED * (seen - self._empty)
            if self._is_there:
                self._watch(seen, frame.captured_ns)
            return False
        self._streak += 1
        if self._streak < self._config.frames:
            return False
        self._is_there, self._streak = not self._is_there, 0
        self._shown, self._shown_ns, self._changes = seen, frame.captured_ns, 0
        if self.lost:
            _log.warning("presence: the line is seen empty again")
        self.lost = ""
        return self._is_there

    def _share(self, seen: Reduced, other: Reduced) -> float:
        """Returns the share of the pixels that differ."""
        return float((np.abs(seen - other) > self._config.difference).mean())

    def _watch(self, seen: Reduced, captured_ns: int) -> None:
        """Counts what passes while a part is there, and notes a picture that stays."""
        if self._shown is None or self._share(seen, self._shown) >= self._config.share:
            self._shown, self._shown_ns = seen, captured_ns
            self._count_change()
        limit_s = self._config.still_limit_s
        if limit_s is None or self.lost or captured_ns - self._shown_ns <= limit_s * 1e9:
            return
        self.lost = (
            f"trigger presence: the region shows the same part for {limit_s:g} s, and no other is "
            "announced meanwhile: take it out of the region, and look at the light and the "
            "exposure; raise trigger.still_limit_s where parts wait so long"
        )
        _log.warning("%s", self.lost)

    def _count_change(self) -> None:
        self._changes += 1
        if self._changes > self._config.changes_max:
            raise LineError(
                f"trigger presence: the picture in the region changed {self._config.changes_max} "
                "times without an empty line between, so parts pass unseen: the light or the "
                "exposure has changed, or the line was not empty at the start; empty it and start "
                "again, or raise trigger.changes_max for long parts"
            )

    def _learn(self, seen: Reduced) -> None:
        """Takes a frame into the empty line; begins again when something moves."""
        if self._empty is None:
            self._empty = seen.copy()
        elif self._share(seen, self._empty) >= self._config.share:
            self._count_change()
            self._learned, self._empty = 0, seen.copy()
        self._learned += 1
        self._empty += (seen - self._empty) / np.float32(self._learned)
        if self._learned == self._config.learn_frames:
            self.lost = ""
            _log.info("presence: the empty line is learned, parts may come")

    def _reduced(self, image: npt.NDArray[np.uint8]) -> Reduced:
        region = self._config.region
        shown = image if region is None else region.of(image)
        if region is not None and shown.shape[:2] != (region.height, region.width):
            raise LineError(
                f"trigger.region reaches beyond the frame, which is {image.shape[0]}x"
                f"{image.shape[1]} (height x width)"
            )
        size = (min(_SIDE_PX, shown.shape[1]), min(_SIDE_PX, shown.shape[0]))
        small = cv2.resize(shown, size, interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY) if small.ndim == 3 else small
        return np.asarray(grey, dtype=np.float32)
