"""Images of chosen parts in a folder by date, below a limit in bytes.

::

    2026-11-21/
        041455.123456_3f9a2c1d-000017_REJECT.frame.png      the frame as it was inspected
        041455.123456_3f9a2c1d-000017_REJECT.mask.png       the defect, 0 or 255
        041455.123456_3f9a2c1d-000017_REJECT.overlay.jpg    for people

Names sort by time (UTC). A line with several views has the view's name before that of the kind:
`REJECT.side.frame.png`. The oldest files go first when the limit is reached; files with other
names are neither counted nor deleted.
"""

from __future__ import annotations

import logging
import queue
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from edge.files import TEMPORARY_PREFIX, write_bytes
from edge.images import encode_jpeg, encode_png
from edge.inspector import Inspection
from edge.overlay import overlay
from edge.triggers import Settled
from edge.verdict import Verdict

_OURS = re.compile(r"\d{6}\.\d{6}_.+\.(frame\.png|mask\.png|overlay\.jpg)")
_DAY = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
_QUEUE_SIZE = 8

_log = logging.getLogger(__name__)


class Archive(Protocol):
    """Keeps the images of parts."""

    def names(self, settled: Settled) -> tuple[str, ...]:
        """The files `save` will write for this part; none when it is not to be kept."""

    def save(self, settled: Settled) -> None:
        """Write them.

        Raises:
            OSError: they cannot be written.
        """


class ImageArchive:
    """An archive in a folder. One thread calls `save`.

    Args:
        folder: made when the first image is written.
        keep: verdicts whose images are kept.
        max_bytes: limit of all image files together.
    """

    def __init__(self, folder: Path, keep: Collection[Verdict], max_bytes: int) -> None:
        self._folder = folder
        self._keep = frozenset(keep)
        self._max_bytes = max_bytes
        self._files: deque[_File] | None = None
        self._bytes = 0

    def names(self, settled: Settled) -> tuple[str, ...]:
        """File names relative to the folder; see `Archive.names`."""
        if settled.inspection.verdict not in self._keep:
            return ()
        return tuple(image.name for image in _images(settled))

    def save(self, settled: Settled) -> None:
        """Write the images, after deleting the oldest that are in their way; see `Archive.save`."""
        if settled.inspection.verdict in self._keep:
            for image in _images(settled):
                self._write(self._folder / image.name, image.encode())

    def _write(self, path: Path, content: bytes) -> None:
        size = len(content)
        if size > self._max_bytes:
            raise OSError(f"{path.name} has {size} bytes and max_bytes is {self._max_bytes}")
        if self._files is None:
            self._files = self._take_stock()
        self._make_room(self._files, size)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content)
        self._files.append(_File(path, size))
        self._bytes += size

    def _take_stock(self) -> deque[_File]:
        files: deque[_File] = deque()
        for path in sorted(self._folder.glob(f"{_DAY}/*")):
            if path.name.startswith(TEMPORARY_PREFIX):
                path.unlink()  # of a killed process
            elif _OURS.fullmatch(path.name):
                files.append(_File(path, path.stat().st_size))
        self._bytes = sum(file.size for file in files)
        return files

    def _make_room(self, files: deque[_File], size: int) -> None:
        while files and self._bytes + size > self._max_bytes:
            oldest = files[0]
            oldest.path.unlink(missing_ok=True)
            files.popleft()
            self._bytes -= oldest.size
            if not any(oldest.path.parent.glob("*")):
                oldest.path.parent.rmdir()


class ArchiveThread:
    """Feeds an archive behind a short queue, so that a slow disk delays no verdict.

    Attributes:
        dropped: parts whose images were given up because the queue was full.
        failed: parts whose images could not be written.
    """

    def __init__(self, archive: Archive, queue_size: int = _QUEUE_SIZE) -> None:
        self.dropped = 0
        self.failed = 0
        self._archive = archive
        self._queue: queue.Queue[Settled | None] = queue.Queue(queue_size)
        self._thread = threading.Thread(target=self._run, name="archive", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def offer(self, settled: Settled) -> tuple[str, ...]:
        """Hand over a part without waiting; the names of the files that will be written."""
        names = self._archive.names(settled)
        if not names:
            return ()
        try:
            self._queue.put_nowait(settled)
        except queue.Full:
            if not self.dropped:
                _log.warning("the archive is slower than the line: images are dropped and counted")
            self.dropped += 1
            return ()
        return names

    def close(self, limit_s: float) -> None:
        """Write what is queued; what is left after `limit_s` is dropped. Call it once."""
        end = time.monotonic() + limit_s
        try:
            self._queue.put(None, timeout=limit_s)
        except queue.Full:
            _log.warning("the archive was not done after %g s", limit_s)
        self._thread.join(max(0.0, end - time.monotonic()))
        while not self._queue.empty():
            self.dropped += self._queue.get_nowait() is not None

    def _run(self) -> None:
        works = True
        while (settled := self._queue.get()) is not None:
            try:
                self._archive.save(settled)
            except Exception as error:  # noqa: BLE001 - the archive goes on with the next part
                self.failed += 1
                if works:
                    is_defect = not isinstance(error, OSError)
                    _log.warning("images are lost: %s", error, exc_info=is_defect)
                works = False
            else:
                if not works:
                    _log.warning("the archive works again")
                works = True


class _File(NamedTuple):
    path: Path
    size: int


class _Image(NamedTuple):
    name: str
    encode: Callable[[], bytes]


def _images(settled: Settled) -> Iterator[_Image]:
    """The images of all views that have a frame."""
    trigger = settled.trigger
    moment = f"{trigger.triggered_utc:%Y-%m-%d/%H%M%S.%f}"
    stem = f"{moment}_{trigger.trigger_id}_{settled.inspection.verdict.value}"
    for result in settled.views:
        if result.frame is not None:
            shown = f"{stem}.{result.view}" if len(settled.views) > 1 else stem
            yield from _images_of_view(shown, result.frame.image, result.inspection)


def _images_of_view(
    stem: str, frame: npt.NDArray[np.uint8], inspection: Inspection
) -> Iterator[_Image]:
    yield _Image(f"{stem}.frame.png", lambda: encode_png(frame))
    if inspection.anomaly_map is not None:
        yield _Image(f"{stem}.mask.png", lambda: _encode_mask(inspection.native_mask(frame)))
    yield _Image(f"{stem}.overlay.jpg", lambda: encode_jpeg(overlay(frame, inspection)))


def _encode_mask(mask: npt.NDArray[np.bool_]) -> bytes:
    return encode_png(mask.astype(np.uint8) * np.uint8(255))
