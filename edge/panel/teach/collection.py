"""The good parts that people collect: images in a folder, without loss, and their origin."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from edge.panel.refusals import Refused
from edge.panel.teach.quality import Measures, measure
from inspection.files import write_bytes, write_text
from inspection.images import encode_png

GOOD, REMOVED = "good", "removed"

_ABOUT = "about"
_SUFFIX = ".frame.png"  # `Thumbnails` makes a photograph of it, not a mask
_IMAGES_MAX = 5000


class Unusable(Refused):
    """An image that cannot be collected; others can."""


class About(BaseModel):
    """The origin of an image, and what was measured on it.

    Attributes:
        source: trigger id, or name of a file.
        shape: of the image, px, and channels where there are three.
        thumbnail: hexadecimal of its float16 values.
    """

    source: str
    by: str
    moment: datetime
    shape: tuple[int, ...]
    sharpness: float
    black: float
    white: float
    thumbnail: str

    @property
    def measures(self) -> Measures:
        """The measures of the image."""
        content = np.frombuffer(bytes.fromhex(self.thumbnail), np.float16)
        side = round(content.size**0.5)
        return Measures(self.sharpness, self.black, self.white, content.reshape(side, side))


class Collected(NamedTuple):
    """An image of the collection; `name` is that of its file."""

    name: str
    about: About
    measures: Measures


class Collection:
    """The images below a folder. Safe for threads; every method reads what is there now.

    Args:
        min_free_bytes: the disk keeps so much for others, such as the records of the line.
    """

    def __init__(self, folder: Path, min_free_bytes: int) -> None:
        self.folder = folder
        self._min_free_bytes = min_free_bytes
        self._lock = threading.Lock()
        self._known: dict[str, Collected] = {}

    @property
    def good(self) -> Path:
        """The folder with the images."""
        return self.folder / GOOD

    def images(self) -> list[Collected]:
        """Returns the images, the newest first."""
        with self._lock:
            return list(self._images())

    def has(self, digest: str) -> bool:
        """Returns whether an image with these pixels is there, or was removed."""
        return any(any((self.folder / kind).glob(f"*-{digest}*")) for kind in (GOOD, REMOVED))

    def add(self, image: npt.NDArray[np.uint8], source: str, by: str) -> Collected:
        """Writes an image.

        Raises:
            Unusable: it has other channels than the images there.
            Refused: it is there already, there are too many, or the disk is nearly full.
            OSError: it cannot be written.
        """
        with self._lock:
            present = list(self._images())
            self._require_room(len(present))
            digest = digest_of(image)
            if self.has(digest):
                raise Refused(409, "problem.known_image")
            if present and len(present[0].about.shape) != image.ndim:
                raise Unusable(409, "problem.other_channels", name=source)
            moment = datetime.now(timezone.utc)
            name = f"{moment:%Y%m%dT%H%M%S%f}-{digest}{_SUFFIX}"
            for kind in (GOOD, _ABOUT):
                (self.folder / kind).mkdir(parents=True, exist_ok=True)
            about = _about(image, source, by, moment)
            write_text(self._about(name), about.model_dump_json())
            write_bytes(self.good / name, encode_png(image))
            return Collected(name, about, about.measures)

    def remove(self, name: str) -> None:
        """Takes an image out of the collection; `restore` brings it back.

        Raises:
            Refused: there is none.
        """
        self._move(name, GOOD, REMOVED)

    def restore(self, name: str) -> None:
        """Brings back an image that was taken out.

        Raises:
            Refused: there is none.
        """
        self._move(name, REMOVED, GOOD)

    def _move(self, name: str, here: str, there: str) -> None:
        names = {path.name for path in (self.folder / here).glob(f"*{_SUFFIX}")}
        if name not in names:
            raise Refused(404, "problem.image_gone")
        (self.folder / there).mkdir(exist_ok=True)
        (self.folder / here / name).rename(self.folder / there / name)

    def _images(self) -> Iterator[Collected]:
        for path in sorted(self.good.glob(f"*{_SUFFIX}"), reverse=True):
            if path.name not in self._known:
                self._known[path.name] = self._read(path)
            yield self._known[path.name]

    def _read(self, path: Path) -> Collected:
        about = About.model_validate_json(self._about(path.name).read_bytes())
        return Collected(path.name, about, about.measures)

    def _about(self, name: str) -> Path:
        return self.folder / _ABOUT / f"{name}.json"

    def _require_room(self, images: int) -> None:
        if images >= _IMAGES_MAX:
            raise Refused(409, "problem.images_full", max=_IMAGES_MAX)
        self.folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(self.folder).free < self._min_free_bytes:
            raise Refused(507, "problem.disk_reserved", free=self._min_free_bytes // 1_000_000)


def digest_of(image: npt.NDArray[np.uint8]) -> str:
    """Returns a short hash over the pixels and the shape of an image."""
    found = hashlib.sha256(str(image.shape).encode())
    found.update(np.ascontiguousarray(image).data)
    return found.hexdigest()[:16]


def _about(image: npt.NDArray[np.uint8], source: str, by: str, moment: datetime) -> About:
    found = measure(image)
    return About(
        source=source,
        by=by,
        moment=moment,
        shape=image.shape,
        sharpness=found.sharpness,
        black=found.black,
        white=found.white,
        thumbnail=found.thumbnail.tobytes().hex(),
    )
