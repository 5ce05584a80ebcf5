"""JPEG: libjpeg-turbo decodes, and its warnings are errors.

OpenCV prints the warnings on standard error and returns the image. simplejpeg binds the same
library and reports them; the pixels are the same to the bit.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import simplejpeg

from inspection.images.damage import DamageError, UnsupportedError

START = b"\xff\xd8"

_MOST_PIXELS = 2**30  # as in OpenCV
_COLOURS = {"Gray": "GRAY", "YCbCr": "BGR", "RGB": "BGR"}

# Markers of ITU-T T.81, table B.1.
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), 0xC2
_HUFFMAN_TABLES, _SCAN, _END, _FILL = 0xC4, 0xDA, 0xD9, 0xFF
_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD8))
_BEHIND_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")

_EMPTY = bytes(64)


def decode(content: bytes) -> npt.NDArray[np.uint8]:
    """Decodes to (H, W, 1) grey or (H, W, 3) BGR; bytes behind the end of the image do not matter.

    Raises:
        DamageError: the library warns or cannot decode, or a part of the file is zero.
        UnsupportedError: CMYK.
    """
    colours = _colours(content)
    if colours not in _COLOURS:
        raise UnsupportedError(f"has the colours {colours} and must be grey or BGR: convert it")
    try:
        image: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(content, _COLOURS[colours])
    except ValueError as error:
        raise DamageError(f"JPEG: {error}") from error
    _refuse_zeros(content)
    return image


def _colours(content: bytes) -> str:
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(content)
    except ValueError as error:
        raise DamageError(f"JPEG: {error}") from error
    if height * width > _MOST_PIXELS:
        raise DamageError(f"JPEG: promises {height}x{width} pixels")
    return str(colours)


def _refuse_zeros(content: bytes) -> None:
    """Raises DamageError for a part that a power cut or a bad copy left empty.

    Zeros are a valid code, often for a block full of detail. The decoder warns only when the blocks
    that they stand for do not add up, which leaves out one in seven empty disk sectors.
    """
    frame, components, do_zeros_end_blocks = 0, 0, True
    for marker, data, begin, end in _segments(content):
        if marker in (*_SEQUENTIAL, _PROGRESSIVE):
            frame, components = marker, data[5]
        elif marker == _HUFFMAN_TABLES:
            do_zeros_end_blocks &= _do_zeros_end_blocks(data)
        elif marker == _SCAN:
            # A sequential scan of all colours has blocks of each table. A progressive one of detail
            # has a single code for a run of empty blocks.
            is_full = frame in _SEQUENTIAL and data[0] == components and not do_zeros_end_blocks
            is_detail = frame == _PROGRESSIVE and data[-3] > 0
            empty = content.find(_EMPTY, begin, end) if is_full or is_detail else -1
            if empty >= 0:
                raise DamageError(f"JPEG: empty from byte {empty}")


def _segments(content: bytes) -> Iterator[tuple[int, bytes, int, int]]:
    """Yields marker and data of each segment, and begin and end of the scan behind it.

    The file was decoded before, so that the segments are whole.
    """
    place = len(START)
    while (marker := content[place + 1]) != _END:
        if marker == _FILL:
            place += 1
        elif marker in _WITHOUT_LENGTH:
            place += 2
        else:
            (length,) = struct.unpack_from(">H", content, place + 2)
            begin = end = place + 2 + length
            if marker == _SCAN:
                behind = _BEHIND_SCAN.search(content, begin)
                end = behind.start() if behind else len(content) - 2
            yield marker, content[place + 4 : begin], begin, end
            place = end


def _do_zeros_end_blocks(tables: bytes) -> bool:
    """Returns True when zeros mean the end of a block in all AC tables.

    The first symbol of a table has the code of zeros alone, and symbol 0 ends the block.
    """
    place, first_symbols = 0, []
    while place + 17 < len(tables):
        if tables[place] >> 4:  # AC
            first_symbols.append(tables[place + 17])
        place += 17 + sum(tables[place + 1 : place + 17])
    return not any(first_symbols)
