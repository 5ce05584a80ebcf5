"""Images that people bring: files that they send, and folders below the configured one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import simplejpeg
from starlette.datastructures import UploadFile

from edge.panel.refusals import Refused
from edge.panel.teach.collection import Collection, Unusable, digest_of
from inspection.errors import FrameError
from inspection.images import decode_image
from inspection.images.folder import IMAGE_SUFFIXES
from inspection.names import printable

# Of a file from elsewhere: decoding, measuring and encoding it must fit into the panel's memory,
# which its unit bounds. A BMP with so many pixels in colour is the largest file.
PIXELS_MAX = 25_000_000
FILE_MAX_BYTES = 80_000_000
DEPTH = 3

DECODING = threading.Lock()  # one large image in memory, however many people send some

_FOLDERS_MAX = 200
_PNG, _JPEG, _BMP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"BM"


class Source(NamedTuple):
    """A file that somebody brings."""

    name: str
    read: Callable[[], bytes]


class Import(NamedTuple):
    """The result of one step of an import.

    Attributes:
        added: images that were collected.
        known: images that are there already, or that somebody removed.
        refused: why files were left out.
        left: files that the step had no time for.
    """

    added: int
    known: int
    refused: list[Unusable]
    left: int


def decoded(content: bytes, name: str) -> npt.NDArray[np.uint8]:
    """Returns the image of a file that anybody may have made.

    Raises:
        Unusable: its kind or its size is not taken, or it is damaged.
    """
    if _pixels(content, name) > PIXELS_MAX:
        raise Unusable(400, "problem.image_too_large", name=name, max=PIXELS_MAX // 1_000_000)
    try:
        return decode_image(content, name)
    except FrameError as error:
        raise Unusable(400, "problem.message", message=str(error)) from error


def _pixels(content: bytes, name: str) -> int:
    """Returns the number of pixels that the head of a file names, before anything is decoded."""
    if content.startswith(_PNG) and len(content) > 24:
        return int.from_bytes(content[16:20], "big") * int.from_bytes(content[20:24], "big")
    if content.startswith(_BMP) and len(content) > 26:
        sides = (content[18:22], content[22:26])
        width, height = (int.from_bytes(side, "little", signed=True) for side in sides)
        return abs(width * height)
    if content.startswith(_JPEG):
        try:
            height, width = simplejpeg.decode_jpeg_header(content)[:2]
        except ValueError as error:
            raise Unusable(400, "problem.image_kind", name=name) from error
        return int(height * width)
    raise Unusable(400, "problem.image_kind", name=name)


def folders_below(root: Path) -> list[str]:
    """Returns the folders with images below `root`, relative to it; links lead nowhere."""
    found = (path for path in _walk(root, DEPTH) if any(_images(path)))
    return sorted(str(path.relative_to(root)) for path in islice(found, _FOLDERS_MAX))


def inside(root: Path, name: str) -> Path:
    """Returns the folder `name` below `root`.

    Raises:
        Refused: it is not one of `folders_below`.
    """
    if name not in folders_below(root):
        raise Refused(400, "problem.no_folder", name=name)
    return root / name


def sent(files: Sequence[object]) -> list[Source]:
    """Returns the files of a form.

    Raises:
        Refused: there are none.
    """
    found = [one for one in files if isinstance(one, UploadFile) and one.size]
    if not found:
        raise Refused(400, "problem.no_files")
    return [Source(printable(one.filename or "?"), one.file.read) for one in found]


def files_of(folder: Path) -> list[Source]:
    """Returns the images of a folder, by name."""
    return [
        Source(printable(path.name), partial(_content, path)) for path in sorted(_images(folder))
    ]


def collect(
    sources: Sequence[Source],
    collection: Collection,
    by: str,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> Import:
    """Collects images until the time is over; a further call goes on.

    Raises:
        Refused: the collection takes none at all, for lack of room.
        OSError: one cannot be read or written.
    """
    until_s, added, known, refused = clock() + seconds, 0, 0, list[Unusable]()
    for place, (name, read) in enumerate(sources):
        if place and clock() > until_s:
            return Import(added, known, refused, len(sources) - place)
        try:
            with DECODING:
                image = decoded(read(), name)
                if collection.has(digest_of(image)):
                    known += 1
                else:
                    collection.add(image, name, by)
                    added += 1
        except Unusable as error:
            refused.append(error)
    return Import(added, known, refused, 0)


def _content(path: Path) -> bytes:
    if path.stat().st_size > FILE_MAX_BYTES:
        values = {"name": printable(path.name), "max": FILE_MAX_BYTES // 1_000_000}
        raise Unusable(400, "problem.file_too_large", **values)
    return path.read_bytes()


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    yield folder
    if depth:
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink() and not path.name.startswith("."):
                yield from _walk(path, depth - 1)


def _images(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        is_image = path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
        if is_image and path.is_file() and not path.is_symlink():
            yield path
