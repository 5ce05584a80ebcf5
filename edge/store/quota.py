"""Which images go when space or time is up.

The images of a part go together. Those of passes go first, then those of the other verdicts, the
oldest first; a pass never drives out another verdict. How old they are is in their time of change,
which is service time (`edge.store.service_time`).
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from edge.store.config import ImagesConfig
from inspection.files import TEMPORARY_PREFIX
from inspection.verdict import Verdict

_KINDS = ("frame.png", "mask.png", "overlay.jpg", r"painted-[0-9a-f]{8}\.png")
_OURS = re.compile(
    rf"(?P<stem>\d{{6}}\.\d{{6}}_(?P<trigger_id>[^.]+)_({'|'.join(Verdict)}))"
    rf"(\.[\w-]+)?\.({'|'.join(_KINDS)})"
)
_DAY = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
_PASS = "_PASS"  # noqa: S105 - how names of passes end


class ImageFile(NamedTuple):
    """A file of the archive.

    Attributes:
        stem: of all files of the part, relative to the archive.
        name: relative to the archive.
    """

    stem: str
    name: str
    trigger_id: str

    @property
    def is_painted(self) -> bool:
        """Whether a person made it, and not the line."""
        return ".painted-" in self.name


@dataclass
class _Part:
    """The files of a part: names and bytes, and the service time of the newest."""

    changed_s: float
    files: dict[str, int] = field(default_factory=dict)


def image_files(folder: Path, day: str = _DAY) -> Iterator[ImageFile]:
    """Yields the images in an archive, by name.

    Args:
        day: of the folder to look into, as 2026-11-21; all by default.
    """
    for path in sorted(folder.glob(f"{day}/*")):
        if (image := image_file(path.parent.name, path.name)) is not None:
            yield image


def image_file(day: str, name: str) -> ImageFile | None:
    """Returns a file in the folder of a day; None for one that is not an image of the archive."""
    match = _OURS.fullmatch(name)
    if match is None:
        return None
    return ImageFile(f"{day}/{match['stem']}", f"{day}/{name}", match["trigger_id"])


class Quota:
    """Counts the images in a folder and deletes those that have to go. For one thread.

    The first call counts the images that are there already.
    """

    def __init__(self, folder: Path, config: ImagesConfig) -> None:
        self._folder = folder
        self._config = config
        self._passes: dict[str, _Part] = {}
        self._others: dict[str, _Part] = {}
        self._bytes: int | None = None  # of all parts

    def make_room(self, stem: str, size: int, now: datetime) -> None:
        """Delete images that are too old, and more until `size` bytes fit for the part `stem`.

        Args:
            now: service time.

        Raises:
            OSError: there is no room, or something cannot be deleted.
        """
        if self._bytes is None:
            self._bytes = self._take_stock(now)
        self._expire(self._passes, now, self._config.max_age_days)
        self._expire(self._others, now, self._config.reject_max_age_days)
        yielding = [self._passes] if stem.endswith(_PASS) else [self._passes, self._others]
        while (lack := self._lack(size)) and any(yielding):
            parts = next(filter(None, yielding))
            self._delete(parts, next(iter(parts)))
        if lack:
            raise OSError(f"{self._folder}: no room for {size} bytes of {stem}: {lack}")

    def add(self, stem: str, name: str, size: int, changed: datetime) -> None:
        """Counts a written file of the part `stem`; call `make_room` before.

        Args:
            changed: its time of change.
        """
        self._count(stem, name, size, changed.timestamp())

    def _count(self, stem: str, name: str, size: int, changed_s: float) -> None:
        parts = self._passes if stem.endswith(_PASS) else self._others
        part = parts.setdefault(stem, _Part(changed_s))
        self._bytes = (self._bytes or 0) + size - part.files.get(name, 0)
        part.files[name] = size

    def _lack(self, size: int) -> str:
        """Returns the limit that `size` more bytes would break; empty for none."""
        if (self._bytes or 0) + size > self._config.max_bytes:
            return f"max_bytes is {self._config.max_bytes}"
        existing = next(path for path in (self._folder, *self._folder.parents) if path.exists())
        system = os.statvfs(existing)
        free = system.f_bavail * system.f_frsize
        if free - size < self._config.min_free_bytes:
            return f"the disk has {free} bytes free, and min_free_bytes keeps it from the rest"
        return ""

    def _expire(self, parts: dict[str, _Part], now: datetime, max_age_days: float) -> None:
        limit_s = (now - timedelta(days=max_age_days)).timestamp()
        while parts and parts[stem := next(iter(parts))].changed_s < limit_s:
            self._delete(parts, stem)

    def _delete(self, parts: dict[str, _Part], stem: str) -> None:
        for name, size in parts.pop(stem).files.items():
            (self._folder / name).unlink(missing_ok=True)
            self._bytes = (self._bytes or 0) - size
        with contextlib.suppress(OSError):  # it is not empty
            (self._folder / stem).parent.rmdir()

    def _take_stock(self, now: datetime) -> int:
        for leftover in self._folder.glob(f"{_DAY}/{TEMPORARY_PREFIX}*"):
            leftover.unlink()  # of a killed process
        found = [self._measure(image, now) for image in image_files(self._folder)]
        for changed_s, image, size in sorted(found):
            self._count(image.stem, image.name, size, changed_s)
        return self._bytes or 0

    def _measure(self, image: ImageFile, now: datetime) -> tuple[float, ImageFile, int]:
        """Returns the time of change of a file, the file, and its size."""
        path = self._folder / image.name
        stat, now_s = path.stat(), now.timestamp()
        if stat.st_mtime > now_s:  # by a clock that was ahead: it would never grow old
            os.utime(path, (now_s, now_s))
        return min(stat.st_mtime, now_s), image, stat.st_size
