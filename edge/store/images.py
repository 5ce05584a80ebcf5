"""Images of chosen parts in a folder by date, within limits of space and age.

::

    2026-11-21/
        041455.123456_3f9a2c1d-000017_REJECT.frame.png      the frame as it was inspected
        041455.123456_3f9a2c1d-000017_REJECT.mask.png       the defect, 0 or 255
        041455.123456_3f9a2c1d-000017_REJECT.overlay.jpg    to look at
        041455.123456_3f9a2c1d-000017_REJECT.painted-4f1c09ab.png   by a person

Frames and masks are lossless: they may train a model. A pass has its frame alone. A line with
several views has the view's name before that of the kind: `REJECT.side.frame.png`. Names have the
time of day (UTC); the time of change is service time (`edge.store.service_time`), by which images
grow old. Files with other names are neither counted nor deleted.
"""

from __future__ import annotations

import hashlib
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edge.part.frame import Frame
from edge.part.result import Settled
from edge.store.config import ImagesConfig
from edge.store.painted import painted_over, painted_png
from edge.store.quota import Quota, image_file
from inspection.errors import RecordsError
from inspection.files import write_bytes
from inspection.images import encode_jpeg, encode_png
from inspection.inspector import Inspection
from inspection.overlay import overlay
from inspection.verdict import Verdict

FRAME_SUFFIX = ".frame.png"


class ImageArchive:
    """An `edge.pipeline.background.Archive` in a folder. One thread calls `save`, others the rest.

    Args:
        folder: made when the first image is written.
        now: service time.
    """

    def __init__(self, folder: Path, config: ImagesConfig, now: Callable[[], datetime]) -> None:
        self._folder = folder
        self._config = config
        self._now = now
        self._quota = Quota(folder, config)
        self._writing = threading.Lock()

    def names(self, settled: Settled) -> tuple[str, ...]:
        """File names relative to the folder; see `Archive.names`."""
        if not self._is_kept(settled):
            return ()
        return tuple(image.name for image in _images(_stem(settled), settled))

    def save(self, settled: Settled) -> None:
        """Write the images, after deleting older ones that are in their way; see `Archive.save`."""
        if not self._is_kept(settled):
            return
        stem = _stem(settled)
        contents = {image.name: image.encode() for image in _images(stem, settled)}
        with self._writing:
            self._write(stem, contents)

    def keep_mask(self, frame: str, painted: npt.NDArray[np.bool_]) -> str:
        """Writes the mask that a person painted over a frame; returns its name.

        Args:
            frame: name of the frame, as its record has it.
            painted: (H, W), as it was shown.

        Raises:
            FrameError: it has another shape than the frame.
            RecordsError: the frame is no longer kept.
            OSError: it cannot be written.
        """
        day, _, file = frame.rpartition("/")
        image = image_file(day, file)
        with self._writing:
            if image is None or not file.endswith(FRAME_SUFFIX):
                raise RecordsError(f"{frame!r} is not a frame of the archive")
            try:
                content = painted_png(painted_over(painted, (self._folder / frame).read_bytes()))
            except FileNotFoundError as error:
                raise _gone(frame) from error
            self._quota.make_room(image.stem, len(content), self._now())
            if not (self._folder / frame).exists():  # it was in the way itself
                raise _gone(frame)
            digest = hashlib.sha256(content).hexdigest()[:8]
            name = f"{frame.removesuffix(FRAME_SUFFIX)}.painted-{digest}.png"
            self._write(image.stem, {name: content})
        return name

    def _write(self, stem: str, contents: Mapping[str, bytes]) -> None:
        now = self._now()
        self._quota.make_room(stem, sum(map(len, contents.values())), now)
        for name, content in contents.items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, content, changed=now)
            self._quota.add(stem, name, len(content), now)

    def _is_kept(self, settled: Settled) -> bool:
        inspection, config = settled.inspection, self._config
        if inspection.verdict in config.keep:
            return True
        if inspection.verdict is not Verdict.PASS:
            return False
        distance = inspection.thresholds.reject - inspection.score
        if config.near_threshold is not None and distance <= config.near_threshold:
            return True
        return zlib.crc32(settled.trigger.trigger_id.encode()) < config.pass_sample * 2**32


def _gone(frame: str) -> RecordsError:
    return RecordsError(f"{frame} was deleted to make room for newer ones")


class _Image(NamedTuple):
    name: str
    encode: Callable[[], bytes]


def _stem(settled: Settled) -> str:
    trigger, verdict = settled.trigger, settled.inspection.verdict
    return f"{trigger.triggered_utc:%Y-%m-%d/%H%M%S.%f}_{trigger.trigger_id}_{verdict.value}"


def _images(stem: str, settled: Settled) -> Iterator[_Image]:
    """Yields the images of all views that have a frame."""
    is_pass = settled.inspection.verdict is Verdict.PASS
    for result in settled.views:
        if result.frame is not None:
            shown = f"{stem}.{result.view}" if len(settled.views) > 1 else stem
            images = _images_of_view(shown, result.frame, result.inspection)
            yield from islice(images, 1 if is_pass else None)


def _images_of_view(stem: str, frame: Frame, inspection: Inspection) -> Iterator[_Image]:
    image = frame.image
    # The frame of a deep camera is kept as the model saw it, with its window: half the bytes of
    # 16 bits, and the same verdict by construction. Nothing else of the line holds 16 bits.
    yield _Image(f"{stem}{FRAME_SUFFIX}", lambda: encode_png(image, frame.window))
    if inspection.anomaly_map is not None:
        yield _Image(f"{stem}.mask.png", lambda: _encode_mask(inspection.native_mask(image)))
    yield _Image(f"{stem}.overlay.jpg", lambda: encode_jpeg(overlay(image, inspection)))


def _encode_mask(mask: npt.NDArray[np.bool_]) -> bytes:
    return encode_png(mask.astype(np.uint8) * np.uint8(255))
