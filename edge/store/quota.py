"""Which images go when space or time is up.

The images of a part go together. Those of passes go first, then those of the other verdicts, the
oldest first; a pass never drives out another verdict.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

from edge.store.config import ImagesConfig
from inspection.files import TEMPORARY_PREFIX

_KINDS = ("frame.png", "mask.png", "overlay.jpg")
_OURS = re.compile(rf"(?P<stem>\d{{6}}\.\d{{6}}_[^.]+_[A-Z_]+)(\.[\w-]+)?\.({'|'.join(_KINDS)})")
_DAY = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
_PASS = "_PASS"  # noqa: S105 - how names of passes end

_Parts = dict[str, dict[str, int]]  # stem relative to the folder -> names and bytes of its files


class Quota:
    """Counts the images in a folder and deletes those that have to go. For one thread.

    The first call counts the images that are there already.

    Args:
        now_utc: wall clock.
    """

    def __init__(self, folder: Path, config: ImagesConfig, now_utc: Callable[[], datetime]) -> None:
        self._folder = folder
        self._config = config
        self._now_utc = now_utc
        self._passes: _Parts = {}
        self._others: _Parts = {}
        self._bytes: int | None = None  # of all parts

    def make_room(self, stem: str, size: int) -> None:
        """Delete images that are too old, and more until `size` bytes fit for the part `stem`.

        Raises:
            OSError: there is no room, or something cannot be deleted.
        """
        if self._bytes is None:
            self._bytes = self._take_stock()
        self._expire(self._passes, self._config.max_age_days)
        self._expire(self._others, self._config.reject_max_age_days)
        yielding = [self._passes] if stem.endswith(_PASS) else [self._passes, self._others]
        while (lack := self._lack(size)) and any(yielding):
            parts = next(filter(None, yielding))
            self._delete(parts, next(iter(parts)))
        if lack:
            raise OSError(f"{self._folder}: no room for {size} bytes of {stem}: {lack}")

    def add(self, stem: str, name: str, size: int) -> None:
        """Counts a written file of the part `stem`; call `make_room` before."""
        parts = self._passes if stem.endswith(_PASS) else self._others
        files = parts.setdefault(stem, {})
        self._bytes = (self._bytes or 0) + size - files.get(name, 0)
        files[name] = size

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

    def _expire(self, parts: _Parts, max_age_days: float) -> None:
        oldest = (self._now_utc() - timedelta(days=max_age_days)).astimezone(timezone.utc)
        limit = f"{oldest:%Y-%m-%d/%H%M%S.%f}"
        while parts and (stem := next(iter(parts))) < limit:
            self._delete(parts, stem)

    def _delete(self, parts: _Parts, stem: str) -> None:
        for name, size in parts.pop(stem).items():
            (self._folder / name).unlink(missing_ok=True)
            self._bytes = (self._bytes or 0) - size
        with contextlib.suppress(OSError):  # it is not empty
            (self._folder / stem).parent.rmdir()

    def _take_stock(self) -> int:
        for path in sorted(self._folder.glob(f"{_DAY}/*")):
            if path.name.startswith(TEMPORARY_PREFIX):
                path.unlink()  # of a killed process
            elif match := _OURS.fullmatch(path.name):
                day = path.parent.name
                self.add(f"{day}/{match['stem']}", f"{day}/{path.name}", path.stat().st_size)
        return self._bytes or 0
