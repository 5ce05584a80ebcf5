"""The picture of what a layout inspects, pixel by pixel as the line applies it."""

from __future__ import annotations

import threading
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from edge.panel.thumbnails import scaled
from inspection.images.encoding import encode_jpeg
from inspection.inspector import no_verdict
from inspection.layout import FramePreparer, Layout
from inspection.overlay import draw_zones
from inspection.preprocess import Preprocessing
from inspection.verdict import Cause

_SIDE = 1280
_QUALITY = 85
_DIM = 0.25
_one_at_a_time = threading.Lock()


def preview(frame: npt.NDArray[np.uint8], layout: Layout, preprocessing: Preprocessing) -> bytes:
    """Returns a JPEG of a frame: what is not inspected is dim, and zones have their borders.

    Args:
        frame: uint8 (H, W) grey or (H, W, 3) BGR.

    Raises:
        FrameError: the frame does not fit, or the part is not found in it.
    """
    with _one_at_a_time:
        prepared = FramePreparer(preprocessing, layout).prepare(frame)
        shown = replace(no_verdict(Cause.FRAME, ""), zones=prepared.zones, crop=prepared.crop)
        picture = frame if frame.ndim == 3 else cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR)
        picture = np.array(picture, dtype=np.uint8)
        seen = shown.native_zones(picture)
        if seen is None:
            seen = np.zeros(picture.shape[:2], np.uint8)
            (seen if prepared.crop is None else prepared.crop.of(seen))[:] = 1
        picture[seen == 0] = (picture[seen == 0] * _DIM).astype(np.uint8)
        draw_zones(picture, shown)
        return encode_jpeg(scaled(picture, _SIDE), _QUALITY)
