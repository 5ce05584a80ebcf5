"""PNG: the checksum of every chunk (PNG specification, third edition, sections 5 and 11)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from inspection.images.damage import DamageError, several_images

START = b"\x89PNG\r\n\x1a\n"

_HEAD = 24  # bytes up to the height of the image
_AROUND = 12  # bytes of a chunk beside its data: length, type, checksum
_HEADER_END = len(START) + _AROUND + 13  # IHDR is the first chunk


def check(content: bytes) -> None:
    """Reads every chunk up to the end of the image; bytes behind it do not matter.

    Raises:
        DamageError: a checksum differs, or the end is missing.
        UnsupportedError: an animation.
    """
    for kind, data in _chunks(content):
        if kind == b"acTL" and len(data) >= 4:
            (frames,) = struct.unpack_from(">I", data)
            if frames > 1:
                raise several_images(frames)


def size(content: bytes) -> tuple[int, int]:
    """Returns width and height as the head of the file has them; decodes nothing.

    Raises:
        DamageError: it is not the head of a PNG.
    """
    if not content.startswith(START) or content[12:16] != b"IHDR" or len(content) < _HEAD:
        raise DamageError("PNG: it does not begin as one")
    width, height = struct.unpack_from(">II", content, 16)
    return int(width), int(height)


def text_of(content: bytes, keyword: str) -> str | None:
    """Returns the text with this keyword in front of the pixels; None without one."""
    for kind, data in _chunks(content):
        if kind == b"IDAT":
            break
        if kind == b"tEXt":
            key, _, text = data.decode("latin-1").partition("\0")
            if key == keyword:
                return text
    return None


def with_text(content: bytes, keyword: str, text: str) -> bytes:
    """Returns the PNG with one more text, in front of the pixels."""
    data = b"tEXt" + f"{keyword}\0{text}".encode("latin-1")
    chunk = struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    return content[:_HEADER_END] + chunk + content[_HEADER_END:]


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields type and data of each chunk, IEND last."""
    place, kind = len(START), b""
    while kind != b"IEND":
        if place + _AROUND > len(content):
            raise DamageError(f"PNG: ends at byte {len(content)} without its end mark")
        length, kind = struct.unpack_from(">I4s", content, place)
        end = place + _AROUND + length
        if end > len(content):
            raise DamageError(f"PNG: ends at byte {len(content)} within a chunk that ends at {end}")
        (promised,) = struct.unpack_from(">I", content, end - 4)
        if zlib.crc32(content[place + 4 : end - 4]) != promised:
            raise DamageError(f"PNG: the checksum of the chunk at byte {place} differs")
        yield kind, content[place + 8 : end - 4]
        place = end
