"""TIFF: every strip and tile has the length that it promises (TIFF 6.0; BigTIFF).

libtiff goes on behind a damaged strip, and OpenCV returns what it left in memory.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from inspection.images.damage import DamageError, UnsupportedError, several_images
from inspection.images.lzw import decoded_length

STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

# Tags: TIFF 6.0, appendix A.
_SUBFILE_TYPE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_STRIPS, _ORIENTATION, _SAMPLES, _ROWS_PER_STRIP = 273, 274, 277, 278
_STRIP_LENGTHS, _PLANES = 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_LENGTHS = 322, 323, 324, 325

_REDUCED = 1  # bit of the subfile type: a preview of another image of the file
_YCBCR = 6
_SEPARATE = 2

_NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}  # types of fields

Fields = dict[int, tuple[int, ...]]


@dataclass(frozen=True)
class _Form:
    """Byte order, and the struct codes that differ between TIFF and BigTIFF."""

    order: str
    count: str
    offset: str
    first: int

    @property
    def inline(self) -> int:
        """Returns the bytes of a value that an entry holds itself."""
        return struct.calcsize(self.offset)


def check(content: bytes) -> None:
    """Checks all directories, and each strip or tile of the image.

    Raises:
        DamageError: a directory, strip or tile is missing, or does not decode to its length.
        UnsupportedError: the file holds several images, pixels of 9 to 15 bits, an orientation, or
            a compression without such a check.
    """
    try:
        directories = list(_directories(content))
    except (struct.error, MemoryError) as error:
        raise DamageError("TIFF: a directory lies outside the file, or is damaged") from error
    images = [fields for fields in directories if not _one(fields, _SUBFILE_TYPE, 0) & _REDUCED]
    if len(images) > 1:
        raise several_images(len(images))
    if not directories or images != directories[:1]:
        raise DamageError("TIFF: the first directory is not that of the image")
    _refuse_odd_depth(images[0])
    _refuse_turned(images[0])
    _check_pixels(content, images[0])


def _refuse_odd_depth(fields: Fields) -> None:
    for bits in fields.get(_BITS, (1,)):
        if 8 < bits < 16:
            raise UnsupportedError(
                f"is a TIFF of {bits} bits, whose values OpenCV multiplies: save it with 16 bits"
            )


def _refuse_turned(fields: Fields) -> None:
    # OpenCV turns these pixels, and those of no other format: the frames of the line come unturned.
    if (orientation := _one(fields, _ORIENTATION, 1)) != 1:
        raise UnsupportedError(
            f"is a TIFF that asks to be turned or mirrored (orientation {orientation}): save it "
            "as the camera sees the part, with orientation 1"
        )


def _directories(content: bytes) -> Iterator[Fields]:
    order = "<" if content.startswith(b"I") else ">"
    is_big = content[:4] in STARTS[2:]
    form = _Form(order, "Q", "Q", 8) if is_big else _Form(order, "H", "I", 4)
    (place,) = struct.unpack_from(form.order + form.offset, content, form.first)
    seen: set[int] = set()
    while place:
        if place in seen:
            raise DamageError("TIFF: the directories run in a circle")
        seen.add(place)
        fields, place = _directory(content, place, form)
        yield fields


def _directory(content: bytes, place: int, form: _Form) -> tuple[Fields, int]:
    """Returns the numbers of a directory by tag, and the place of the next one."""
    (count,) = struct.unpack_from(form.order + form.count, content, place)
    place += struct.calcsize(form.count)
    entry = struct.Struct(f"{form.order}HH{form.offset}")
    fields: Fields = {}
    for _ in range(count):
        tag, kind, number = entry.unpack_from(content, place)
        place += entry.size
        if kind in _NUMBERS:
            fields[tag] = _values(content, place, number, _NUMBERS[kind], form)
        place += form.inline
    (following,) = struct.unpack_from(form.order + form.offset, content, place)
    return fields, following


def _values(content: bytes, place: int, number: int, code: str, form: _Form) -> tuple[int, ...]:
    size = struct.calcsize(code) * number
    if size > len(content):
        raise DamageError("TIFF: a field is longer than the file")
    if size > form.inline:
        (place,) = struct.unpack_from(form.order + form.offset, content, place)
    return struct.unpack_from(f"{form.order}{number}{code}", content, place)


def _one(fields: Fields, tag: int, otherwise: int | None = None) -> int:
    """Returns the number of a field.

    Raises:
        DamageError: it is missing, and the specification has no default.
    """
    values = fields.get(tag) or (() if otherwise is None else (otherwise,))
    if not values:
        raise DamageError(f"TIFF: the field {tag} is missing")
    return values[0]


def _check_pixels(content: bytes, fields: Fields) -> None:
    compression = _one(fields, _COMPRESSION, 1)
    if compression not in _LENGTHS or _one(fields, _PHOTOMETRIC, 0) == _YCBCR:
        raise UnsupportedError(
            f"is a TIFF of a kind in which damage cannot be found (compression {compression}): "
            "save it with LZW or Deflate, or as PNG"
        )
    is_tiled = _TILES in fields
    places = fields.get(_TILES if is_tiled else _STRIPS, ())
    lengths = fields.get(_TILE_LENGTHS if is_tiled else _STRIP_LENGTHS, ())
    sizes = _tile_sizes(fields) if is_tiled else _strip_sizes(fields)
    promised = list(islice(sizes, len(places) + 1))  # a damaged height promises billions
    what = "tile" if is_tiled else "strip"
    if not len(places) == len(lengths) == len(promised):
        raise DamageError(f"TIFF: the number of {what}s is not that of the size of the image")
    for number, (place, length, size) in enumerate(zip(places, lengths, promised, strict=True)):
        if not length or place + length > len(content):
            raise DamageError(f"TIFF: {what} {number} lies outside the file")
        try:
            found = _LENGTHS[compression](content[place : place + length], size)
        except DamageError as error:
            raise DamageError(f"TIFF: {what} {number} is damaged ({error})") from error
        if found != size:
            raise DamageError(f"TIFF: {what} {number} has {found} bytes and must have {size}")


def _strip_sizes(fields: Fields) -> Iterator[int]:
    height = _one(fields, _HEIGHT)
    rows = max(1, min(_one(fields, _ROWS_PER_STRIP, height), height))
    for bits in _plane_bits(fields):
        row = math.ceil(_one(fields, _WIDTH) * bits / 8)
        for top in range(0, height, rows):
            yield row * min(rows, height - top)


def _tile_sizes(fields: Fields) -> Iterator[int]:
    width, height = _one(fields, _TILE_WIDTH), _one(fields, _TILE_HEIGHT)
    if not width or not height:
        raise DamageError("TIFF: has tiles without a size")
    across = math.ceil(_one(fields, _WIDTH) / width)
    down = math.ceil(_one(fields, _HEIGHT) / height)
    for bits in _plane_bits(fields):
        for _ in range(across * down):
            yield height * math.ceil(width * bits / 8)


def _plane_bits(fields: Fields) -> list[int]:
    """Returns the bits of a pixel in each plane."""
    bits = fields.get(_BITS, (1,))
    samples = _one(fields, _SAMPLES, 1)
    if len(bits) != samples:
        bits = bits[:1] * samples
    return list(bits) if _one(fields, _PLANES, 1) == _SEPARATE else [sum(bits)]


def _stored_length(data: bytes, _size: int) -> int:
    return len(data)


def _lzw_length(data: bytes, _size: int) -> int:
    return decoded_length(data)


def _inflated_length(data: bytes, size: int) -> int:
    stream = zlib.decompressobj()
    try:
        length = len(stream.decompress(data, size + 1))  # damage can promise gigabytes
    except zlib.error as error:
        raise DamageError(f"Deflate: {error}") from error
    if length <= size and not stream.eof:
        raise DamageError("Deflate: ends without its checksum")
    return length


def _unpacked_length(data: bytes, _size: int) -> int:
    """Returns the decoded length of PackBits (TIFF 6.0, section 9)."""
    place = length = 0
    while place < len(data):
        head = data[place]
        if head < 128:
            place += head + 2
            length += head + 1
        elif head > 128:
            place += 2
            length += 257 - head
        else:
            place += 1
    if place != len(data):
        raise DamageError("PackBits: ends within a run")
    return length


# By number of the compression, from the data of a strip and the length that it must decode to.
_LENGTHS: dict[int, Callable[[bytes, int], int]] = {
    1: _stored_length,
    5: _lzw_length,
    8: _inflated_length,
    32773: _unpacked_length,
    32946: _inflated_length,
}
