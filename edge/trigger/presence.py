"""Parts seen in the frames of a camera that runs free.

The empty line is learned from the first frames and followed slowly while it is empty, so that
slow changes of the light are no parts. A part is there when enough pixels of the region differ from
it in several frames in a row; it is gone when less than half as many do, again in several frames.
One part gives one trigger: on the frame with which it counts as there. Place the region where the
parts are when they should be judged, and so small that there is a gap between two of them.
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

_SIDE_PX = 64  # the region is reduced to this, which takes the noise of the sensor away
_FOLLOWED = 0.02  # of a change of the empty line, with each frame
_GONE = 0.5  # of the share that makes a part

_log = logging.getLogger(__name__)


Share = Annotated[float, Field(gt=0, lt=1)]


class PresenceTriggerConfig(KindConfig):
    """A camera that runs free, and frames that show a part; see `edge.trigger.presence`.

    Attributes:
        view: whose frames are looked at, where the line has several.
        region: where the part is looked for; it is inspected when it is there. None: all of the
            frame.
        difference: grey levels by which a pixel differs from the empty line.
        share: of the region's pixels, for a part to be there.
        frames: in a row that show it, and that do not, for one part.
        learn_frames: at the start, of the empty line.
    """

    kind: Literal["presence"]
    view: str | None = None
    region: Crop | None = None
    difference: Annotated[float, Field(gt=0, lt=255)] = 25.0
    share: Share = 0.2
    frames: Annotated[int, Field(ge=1, le=100)] = 2
    learn_frames: Annotated[int, Field(ge=1, le=1000)] = 10

    def driver(self, _encoder: Encoder | None) -> PresenceTrigger:
        """Returns the trigger, not yet opened."""
        return PresenceTrigger(self)


class PresenceTrigger:
    """Opens a part on the frame that shows it; see `edge.trigger.base.FrameTrigger`."""

    def __init__(self, config: PresenceTriggerConfig) -> None:
        self._config = config
        self._learned = 0
        self._empty: npt.NDArray[np.float32] | None = None  # (H, W) at most _SIDE_PX, grey
        self._is_there = False
        self._streak = 0  # frames in a row that say otherwise than `_is_there`

    def opens(self, view: str, frame: Frame | None) -> bool:
        """Returns whether a part has come with this frame; see `FrameTrigger.opens`."""
        if frame is None or self._config.view not in (None, view):
            return False
        seen = self._reduced(frame.image)
        if self._learned < self._config.learn_frames or self._empty is None:
            self._learn(seen)
            return False
        share = float((np.abs(seen - self._empty) > self._config.difference).mean())
        limit = self._config.share * (_GONE if self._is_there else 1.0)
        if (share >= limit) == self._is_there:
            self._streak = 0
            if share < self._config.share * _GONE:
                self._empty += _FOLLOWED * (seen - self._empty)
            return False
        self._streak += 1
        if self._streak < self._config.frames:
            return False
        self._is_there, self._streak = not self._is_there, 0
        return self._is_there

    def _learn(self, seen: npt.NDArray[np.float32]) -> None:
        self._learned += 1
        empty = seen.copy() if self._empty is None else self._empty
        self._empty = empty + (seen - empty) / np.float32(self._learned)
        if self._learned == self._config.learn_frames:
            _log.info("presence: the empty line is learned, parts may come")

    def _reduced(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
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
