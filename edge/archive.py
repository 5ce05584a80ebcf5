"""Images of inspected parts on disk, within a quota; never in the way of a verdict."""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from edge.camera.base import Frame
from edge.config import ConfigPath, StrictModel
from edge.errors import LineError
from edge.files import write_bytes
from edge.images import encode_jpeg, encode_png
from edge.inspector import Inspection
from edge.overlay import overlay
from edge.verdict import Verdict

_LOG = logging.getLogger(__name__)
_QUEUE_LENGTH = 8


class ArchiveConfig(StrictModel):
    """Which parts are kept as images.

    Attributes:
        folder: a folder per day is made in it.
        verdicts: parts with these are kept.
        max_bytes: the oldest files go when the folder grows beyond it.
    """

    folder: ConfigPath
    verdicts: tuple[Verdict, ...] = (Verdict.REJECT, Verdict.REVIEW)
    max_bytes: Annotated[int, Field(ge=1)] = 10_000_000_000


@dataclass(frozen=True)
class _Job:
    folder: Path
    names: tuple[str, ...]
    frame: Frame
    inspection: Inspection


class Archive:
    """Writes frames (PNG), masks (PNG) and overlays (JPEG) in a thread of its own.

    A slow or full disk costs images, which are counted, and never a verdict.

    Attributes:
        dropped: parts whose images were not taken because the disk did not keep up.
        failed: parts whose images could not be written.
    """

    def __init__(self, config: ArchiveConfig) -> None:
        self._config = config
        self._jobs: queue.Queue[_Job | None] = queue.Queue(_QUEUE_LENGTH)
        self._thread = threading.Thread(target=self._write_all, name="archive", daemon=True)
        self.dropped = 0
        self.failed = 0

    def open(self) -> None:
        """Make the folder and start writing; LineError when the folder cannot be made."""
        try:
            self._config.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LineError(f"{self._config.folder}: cannot be made ({error.strerror})") from error
        self._quota = Quota(self._config.folder, self._config.max_bytes)
        self._thread.start()

    def offer(
        self, trigger_id: int, time_utc: str, frame: Frame | None, inspection: Inspection
    ) -> tuple[str, ...]:
        """Take one part if it is to be kept; returns the names its files will have.

        Never blocks: when the disk is behind, the part is dropped and counted.
        """
        if frame is None or inspection.verdict not in self._config.verdicts:
            return ()
        day, stem = time_utc[:10], f"{time_utc[11:23].replace(':', '')}-{trigger_id:08d}"
        kinds = ("frame.png", "overlay.jpg") + (("mask.png",) if inspection.mask.any() else ())
        names = tuple(f"{day}/{stem}-{kind}" for kind in kinds)
        try:
            self._jobs.put_nowait(_Job(self._config.folder, names, frame, inspection))
        except queue.Full:
            self.dropped += 1
            return ()
        return names

    def close(self, timeout_s: float = 10.0) -> None:
        """Write what was taken, then stop."""
        if self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join(timeout_s)

    def _write_all(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                for path, content in _contents(job):
                    path.parent.mkdir(exist_ok=True)
                    write_bytes(path, content)
                    self._quota.add(path, len(content))
            except OSError as error:
                self.failed += 1
                _LOG.warning("images of %s were not written: %s", job.names[0], error)


class Quota:
    """Keeps the files below a folder within a number of bytes, the oldest going first."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        found = sorted(path for path in folder.rglob("*") if path.is_file())  # named by time
        self._files = deque((path, path.stat().st_size) for path in found)
        self._bytes = sum(size for _, size in self._files)

    def add(self, path: Path, size: int) -> None:
        """Count a new file, and remove old ones until the rest fits."""
        self._files.append((path, size))
        self._bytes += size
        while self._bytes > self._max_bytes and len(self._files) > 1:
            oldest, freed = self._files.popleft()
            oldest.unlink(missing_ok=True)
            self._bytes -= freed


def _contents(job: _Job) -> list[tuple[Path, bytes]]:
    contents = []
    for name in job.names:
        if name.endswith("frame.png"):
            content = encode_png(job.frame.image)
        elif name.endswith("mask.png"):
            mask = job.inspection.native_mask(job.frame.image)
            content = encode_png(mask.astype("uint8") * 255)
        else:
            content = encode_jpeg(overlay(job.frame.image, job.inspection))
        contents.append((job.folder / name, content))
    return contents
