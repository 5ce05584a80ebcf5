"""The newest part as pictures, for pages that show a running line. Encodes only what is asked for.

The pipeline hands over a reference, and waits for nothing. The thread that asks encodes, at most
some times a second however often it asks, so that a curious peer costs the line little.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge.part.result import Settled, ViewResult
from edge.pipeline.background import Archive
from inspection.images import encode_jpeg, encode_png
from inspection.inspector import Inspection

_SIDE = 960  # px of the frame
_MAP_SIDE = 480
_QUALITY = 80
_PERIOD_S = 0.2

Picture = dict[str, Any]
_Scale = tuple[float, float]


class NewestPart:
    """An `Archive` that also keeps the newest part in memory. Safe for threads.

    Args:
        archive: keeps the images of parts; None for none.
    """

    def __init__(
        self, archive: Archive | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._archive = archive
        self._clock = clock
        self._newest: Settled | None = None
        self._encoding = threading.Lock()
        self._encoded: Picture = {"trigger_id": None}
        self._encoded_s = float("-inf")
        self._scales: dict[str, _Scale] = {}

    def names(self, settled: Settled) -> tuple[str, ...]:
        """Takes a part, and returns its files in the archive."""
        self._newest = settled
        return self._archive.names(settled) if self._archive is not None else ()

    def save(self, settled: Settled) -> None:
        """Writes the files; see `Archive.save`."""
        if self._archive is not None:
            self._archive.save(settled)

    @property
    def newest(self) -> Settled | None:
        """The newest part; None before the first one."""
        return self._newest

    def picture(self) -> Picture:
        """Returns the newest part, or the one before where that was encoded a moment ago.

        Keys: "trigger_id", None before the first part; "view", the deciding one; "frame", JPEG;
        "heat", grey PNG of the anomaly map, 0 for the median of the first map of this calibration,
        128 for the threshold of a pixel; "mask", PNG; "region", the part of the frame that both
        cover: left, top, width, height as shares. Images are base64; an absent one is None.
        """
        with self._encoding:
            newest, now_s = self._newest, self._clock()
            if newest is not None and now_s - self._encoded_s >= _PERIOD_S:
                trigger_id = newest.trigger.trigger_id
                if trigger_id != self._encoded["trigger_id"]:
                    self._encoded = {"trigger_id": trigger_id, **self._encode(newest.decisive)}
                    self._encoded_s = now_s
            return self._encoded

    def _encode(self, result: ViewResult) -> Picture:
        inspection = result.inspection
        images: dict[str, bytes | None] = {"frame": None, "heat": None, "mask": None}
        region = [0.0, 0.0, 1.0, 1.0]
        if result.frame is not None:
            image = result.frame.image
            images["frame"] = encode_jpeg(_shrunk(image, _SIDE), _QUALITY)
            region = _region(inspection, image.shape[0], image.shape[1])
        if result.frame is not None and inspection.anomaly_map is not None:
            low, high = self._scale(result)
            levels = np.clip((inspection.anomaly_map - low) / (high - low), 0, 1) * 255
            images["heat"] = encode_png(_shrunk(np.nan_to_num(levels).astype(np.uint8), _MAP_SIDE))
            mask = inspection.mask.astype(np.uint8) * np.uint8(255)
            images["mask"] = encode_png(_shrunk(mask, _MAP_SIDE))
        texts = {
            name: None if content is None else base64.b64encode(content).decode()
            for name, content in images.items()
        }
        return {"view": result.view, "region": region, **texts}

    def _scale(self, result: ViewResult) -> _Scale:
        """Returns the scale of a calibration: a colour means the same in all its pictures."""
        seal, values = result.recipe.calibration_seal, result.inspection.anomaly_map
        if seal not in self._scales and values is not None:
            pixel = result.recipe.thresholds.pixel
            low = min(float(np.nanmedian(values)), np.nextafter(pixel, -np.inf))
            self._scales = {seal: (low, 2 * pixel - low)}
        return self._scales[seal]


def _shrunk(image: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    factor = side / max(image.shape[:2])
    if factor >= 1:
        return image
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _region(inspection: Inspection, height: int, width: int) -> list[float]:
    crop = inspection.crop
    if crop is None:
        return [0.0, 0.0, 1.0, 1.0]
    return [crop.left / width, crop.top / height, crop.width / width, crop.height / height]
