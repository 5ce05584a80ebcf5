"""Writing the files of a data set."""

from __future__ import annotations

import os
import shutil
from pathlib import Path, PurePosixPath

import numpy as np

from inspection.errors import CameraError
from inspection.images import encode_png, read_image, read_stored
from inspection.names import printable
from training.data.masks import read_mask


class Store:
    """Puts images and masks into a new folder, under free names.

    Args:
        root: the folder; it exists.
        link: makes hard links to the originals, instead of copies, for unchanged files.
    """

    def __init__(self, root: Path, *, link: bool) -> None:
        self._root = root
        self._link = link
        self._taken: set[tuple[str, str]] = set()

    def add_image(self, source: Path, folder: str, masks: str | None = None) -> PurePosixPath:
        """Copies an image into `folder`; returns its place relative to the root.

        The image keeps its printable name, with `-2` and so on after a stem that is taken: by
        another image in `folder`, or by an image with its mask in the same folder `masks`.
        """
        name = printable(source.stem)  # the lists of some layouts are texts
        stem, count = name, 1
        while (masks or folder, stem.casefold()) in self._taken:
            count += 1
            stem = f"{name}-{count}"
        self._taken.add((masks or folder, stem.casefold()))
        target = PurePosixPath(folder, stem + printable(source.suffix))
        self._add_copy(source, target)
        return target

    def add_png(self, source: Path, target: PurePosixPath) -> None:
        """Adds an image as PNG; encodes other formats without loss."""
        if source.suffix.lower() == ".png":
            self._add_copy(source, target)
        else:
            self.add_file(target, encode_png(read_stored(source)))

    def add_mask(self, mask: Path, image: Path, target: PurePosixPath) -> None:
        """Adds a mask as grey PNG of 0 and 255; copies a file that already is one.

        Raises:
            CameraError: the mask cannot be read, or its size is not that of its image.
        """
        height, width = read_stored(image).shape[:2]
        pixels = (read_mask(mask, (height, width)) * 255).astype(np.uint8)
        if (
            mask.is_file()
            and mask.suffix.lower() == ".png"
            and np.array_equal(read_image(mask), pixels)
        ):
            self._add_copy(mask, target)
        else:
            self.add_file(target, encode_png(pixels))

    def add_file(self, target: PurePosixPath, content: bytes) -> None:
        """Adds a file with this content."""
        self._place(target).write_bytes(content)

    def _add_copy(self, source: Path, target: PurePosixPath) -> None:
        place = self._place(target)
        try:
            if self._link:
                os.link(source.resolve(), place)
            else:
                shutil.copyfile(source, place)
        except OSError as error:
            how = "linked; leave out --link" if self._link else "copied"
            raise CameraError(f"{printable(source)}: cannot be {how} ({error.strerror})") from error

    def _place(self, target: PurePosixPath) -> Path:
        place = self._root / target
        place.parent.mkdir(parents=True, exist_ok=True)
        return place
