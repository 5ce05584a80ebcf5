"""Small pictures of archived images, each made once and kept in the panel's folder."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import numpy.typing as npt

from edge.panel.refusals import Refused
from inspection.errors import CameraError
from inspection.files import write_bytes
from inspection.images.encoding import encode_jpeg, encode_png
from inspection.images.reading import read_image

SIZES = (160, 320, 640, 1280)  # the longer side, in pixels

_AT_ONCE = 2
_QUALITY = 85
_SWEEP_EVERY = 200  # pictures


class Thumbnails:
    """The pictures in a folder, which holds `max_bytes` at most. Safe for threads."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._making = threading.BoundedSemaphore(_AT_ONCE)
        self._sweeping = threading.Lock()
        self._made = 0

    def picture(self, archive: Path, name: str, size: int) -> tuple[bytes, str]:
        """Returns a picture of an archived image, and its media type.

        Args:
            archive: folder of the images.
            name: of the image, as its record has it.
            size: one of `SIZES`.

        Raises:
            Refused: the image is no longer there.
        """
        source = inside(archive, name)
        is_mask = name.endswith(".png") and not name.endswith(".frame.png")
        kind, media = ("png", "image/png") if is_mask else ("jpg", "image/jpeg")
        try:
            found = source.stat()
        except OSError as error:
            raise Refused(404, "problem.image_gone") from error
        key = f"{source}\0{found.st_mtime_ns}\0{found.st_size}\0{size}"
        path = self._folder / f"{hashlib.sha256(key.encode()).hexdigest()}.{kind}"
        try:
            return path.read_bytes(), media
        except FileNotFoundError:
            content = self._make(source, size, is_mask=is_mask)
        with contextlib.suppress(OSError):  # on a full disk people need the pictures all the same
            self._folder.mkdir(parents=True, exist_ok=True)
            write_bytes(path, content)
        self._sweep()
        return content, media

    def _make(self, source: Path, size: int, *, is_mask: bool) -> bytes:
        with self._making:
            try:
                image = read_image(source)
            except CameraError as error:
                raise Refused(404, "problem.image_gone") from error
            small = scaled(image, size)
            return encode_png(small) if is_mask else encode_jpeg(small, _QUALITY)

    def _sweep(self) -> None:
        with self._sweeping:
            self._made += 1
            if self._made % _SWEEP_EVERY == 1:
                self._remove_oldest()

    def _remove_oldest(self) -> None:
        # By their names: a picture that another thread writes now has a temporary one.
        found = [(path.stat(), path) for path in self._folder.glob("[0-9a-f]*")]
        left = sum(status.st_size for status, _ in found)
        for status, path in sorted(found, key=lambda one: one[0].st_mtime_ns):
            if left <= self._max_bytes:
                return
            left -= status.st_size
            path.unlink(missing_ok=True)


def scaled(image: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """Returns an image whose longer side has at most `size` pixels; a small one stays as it is."""
    height, width = image.shape[:2]
    factor = size / max(height, width)
    if factor >= 1:
        return image
    target = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(image, target, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def inside(archive: Path, name: str) -> Path:
    """Returns the path of an image; a name that leads out of the archive names none."""
    relative = PurePosixPath(name)
    path = archive / relative
    if "\0" in name or relative.is_absolute() or ".." in relative.parts or path.is_symlink():
        raise Refused(404, "problem.image_gone")
    if not path.resolve().is_relative_to(archive.resolve()):
        raise Refused(404, "problem.image_gone")
    return path
