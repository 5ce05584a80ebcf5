"""Images of chosen parts in a folder by date, within limits of space and age.

::

    2026-11-21/
        041455.123456_3f9a2c1d-000017_REJECT.frame.png      the frame as it was inspected
        041455.123456_3f9a2c1d-000017_REJECT.mask.png       the defect, 0 or 255
        041455.123456_3f9a2c1d-000017_REJECT.overlay.jpg    for people

Frames and masks are lossless: they may train a model. A pass has its frame alone. Names sort by
time (UTC). Files with other names are neither counted nor deleted.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from edge.errors import FrameError
from edge.files import write_bytes
from edge.images import encode_jpeg, encode_png
from edge.overlay import overlay
from edge.store.config import ImagesConfig
from edge.store.quota import Quota
from edge.triggers import Settled
from edge.verdict import Verdict

FRAME_SUFFIX = ".frame.png"


def _now_utc() -> datetime:
    return datetime.now(timezone.utc)


class ImageArchive:
    """An `edge.archive.Archive` in a folder. One thread calls `save`.

    Args:
        folder: made when the first image is written.
        now_utc: wall clock.
    """

    def __init__(
        self, folder: Path, config: ImagesConfig, now_utc: Callable[[], datetime] = _now_utc
    ) -> None:
        self._folder = folder
        self._config = config
        self._quota = Quota(folder, config, now_utc)

    def names(self, settled: Settled) -> tuple[str, ...]:
        """File names relative to the folder; see `Archive.names`."""
        trigger, inspection = settled.trigger, settled.inspection
        if trigger.frame is None or not self._is_kept(settled):
            return ()
        day = f"{trigger.captured_utc:%Y-%m-%d}"
        time_of_day = f"{trigger.captured_utc:%H%M%S.%f}"
        stem = f"{day}/{time_of_day}_{trigger.trigger_id}_{inspection.verdict.value}"
        if inspection.verdict is Verdict.PASS:
            return (f"{stem}{FRAME_SUFFIX}",)
        kinds = [FRAME_SUFFIX, ".overlay.jpg"]
        if inspection.anomaly_map is not None:
            kinds.insert(1, ".mask.png")
        return tuple(stem + kind for kind in kinds)

    def save(self, settled: Settled) -> None:
        """Write the images, after deleting older ones that are in their way; see `Archive.save`."""
        contents = {name: _encode(name, settled) for name in self.names(settled)}
        if not contents:
            return
        stem = next(iter(contents)).removesuffix(FRAME_SUFFIX)
        self._quota.make_room(stem, sum(map(len, contents.values())))
        for name, content in contents.items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, content)
            self._quota.add(stem, len(content))

    def _is_kept(self, settled: Settled) -> bool:
        inspection, config = settled.inspection, self._config
        if inspection.verdict in config.keep:
            return True
        if inspection.verdict is not Verdict.PASS:
            return False
        distance = inspection.threshold - inspection.score
        if config.near_threshold is not None and distance <= config.near_threshold:
            return True
        return zlib.crc32(settled.trigger.trigger_id.encode()) < config.pass_sample * 2**32


def _encode(name: str, settled: Settled) -> bytes:
    frame, inspection = settled.trigger.frame, settled.inspection
    if frame is None:
        raise FrameError(f"{name}: the camera gave no frame")
    if name.endswith(FRAME_SUFFIX):
        return encode_png(frame.image)
    if name.endswith(".mask.png"):
        return encode_png(inspection.native_mask(frame.image).astype(np.uint8) * np.uint8(255))
    return encode_jpeg(overlay(frame.image, inspection))
