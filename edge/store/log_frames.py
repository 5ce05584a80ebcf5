"""The frames in the log (WAL) of an SQLite database, see https://www.sqlite.org/fileformat2.html."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple

_HEADER = struct.Struct(">8I")  # magic, version, page size, checkpoint, 2 salts, 2 sums
_FRAME = struct.Struct(">6I")  # page, size after a commit or 0, 2 salts, 2 sums
_PAGE_SIZE = 4096  # SQLite's own choice
_MAGIC = (0x377F0682, 0x377F0683)

_Salts = tuple[int, int]


class LogFrame(NamedTuple):
    """A page in the log.

    Attributes:
        number: of the page, from 1.
        is_commit: whether a transaction ends with it.
        start: of its content in the file.
        size: of its content, bytes.
    """

    number: int
    is_commit: bool
    start: int
    size: int


def log_frames(path: Path) -> Iterator[LogFrame]:
    """Yields the frames since the log was last begun anew, without a look at their sums.

    Raises:
        OSError: the file cannot be read; one that is missing has no frames.
    """
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        return
    with stream:
        head = stream.read(_HEADER.size)
        if len(head) < _HEADER.size:
            return
        size, salts = _described(head)
        frames = list(_frames(stream, size))
    if salts is None:
        # Of a damaged head: those of the first two frames in a row that agree.
        agreed = (one[0] for one, other in pairwise(frames) if one[0] == other[0])
        salts = next(agreed, None)
    for of_frame, frame in frames:
        if of_frame == salts and frame.number:
            yield frame


def _frames(stream: BinaryIO, size: int) -> Iterator[tuple[_Salts, LogFrame]]:
    """Yields all frames, also those of earlier turns of the log."""
    start = _HEADER.size
    while len(head := stream.read(_FRAME.size)) == _FRAME.size:
        number, after, first, second, _, _ = _FRAME.unpack(head)
        start += _FRAME.size
        yield (first, second), LogFrame(number, after > 0, start, size)
        start += size
        stream.seek(start)


def _described(head: bytes) -> tuple[int, _Salts | None]:
    """Returns the page size and the salts of a log; None for those of a damaged head."""
    words = _HEADER.unpack(head)
    first, second = 0, 0
    order = ">" if words[0] & 1 else "<"
    for one, other in struct.iter_unpack(f"{order}2I", head[:24]):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + other + first) & 0xFFFFFFFF
    if words[0] in _MAGIC and words[6:] == (first, second):
        return words[2], (words[4], words[5])
    return _PAGE_SIZE, None


def last_commit(path: Path) -> int:
    """Returns how many frames of the log belong to transactions that ended; 0 for none."""
    last = 0
    for count, frame in enumerate(log_frames(path), start=1):
        if frame.is_commit:
            last = count
    return last
