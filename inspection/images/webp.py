"""WebP: its length (RFC 9649, section 2); the format holds no checksum."""

from __future__ import annotations

import struct

from inspection.images.damage import DamageError, UnsupportedError

_ANIMATION = 0x02  # flag in the extended header


def recognises(content: bytes) -> bool:
    """Returns True for the first bytes of a WebP file."""
    return content[:4] == b"RIFF" and content[8:12] == b"WEBP"


def is_lossy(content: bytes) -> bool:
    """Returns True for VP8, which changes pixels; VP8L keeps them."""
    return recognises(content) and b"VP8L" not in content[12:64]


def check(content: bytes) -> None:
    """Compares the length with the one in the header.

    Raises:
        DamageError: the file is shorter.
        UnsupportedError: an animation.
    """
    (length,) = struct.unpack_from("<I", content, 4)
    if len(content) < length + 8:
        raise DamageError(f"WebP: ends at byte {len(content)} of {length + 8}")
    if content[12:16] == b"VP8X" and len(content) > 20 and content[20] & _ANIMATION:
        raise UnsupportedError("is an animation: save one image of it as its own file")
