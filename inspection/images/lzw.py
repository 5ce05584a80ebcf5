"""The length that LZW data of a TIFF decodes to, without decoding it (TIFF 6.0, section 13).

Damage keeps neither the length nor the end mark: an entry of the table that a wrong code made has
another length, up to the next clear code.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from inspection.images.damage import DamageError

_CLEAR, _END = 256, 257

# The table takes an entry with each code but the first, from 258 on, and is full at 4094. A code
# has the bits of the largest entry that it can name: one code early, as the specification has it.
_NUMBERS = np.arange(1, 4096 - 256)  # of a code since the last clear code
_LARGEST = 256 + _NUMBERS  # that this code can name, the entry that it completes
_WIDTHS = np.select([_LARGEST < 511, _LARGEST < 1023, _LARGEST < 2047], [9, 10, 11], 12)
_PLACES = np.concatenate([[0], np.cumsum(_WIDTHS)[:-1]])  # bits since the last clear code

Codes = npt.NDArray[np.int64]


def decoded_length(data: bytes) -> int:
    """Returns the number of bytes that `data` decodes to.

    Raises:
        DamageError: a code names an entry that does not exist yet, or a clear code or the end mark
            is missing.
    """
    padded = np.frombuffer(data + bytes(3), np.uint8).astype(np.int64)
    bits, length, code = 8 * len(data), 0, _CLEAR
    if len(data) < 2 or padded[0] << 1 | padded[1] >> 7 != _CLEAR:
        raise DamageError("LZW: does not begin with a clear code")
    place = 9
    while code == _CLEAR:
        codes = _codes_from(padded, place, bits)
        stops = np.flatnonzero((codes == _CLEAR) | (codes == _END))
        if not len(stops):
            raise DamageError("LZW: has no clear code or end mark where one must be")
        stop = int(stops[0])
        length += _length_of(codes[:stop])
        code = int(codes[stop])
        place += int(_PLACES[stop] + _WIDTHS[stop])
    return length


def _codes_from(padded: Codes, place: int, bits: int) -> Codes:
    """Returns the codes behind a clear code, at most those that fill the table."""
    fits = np.searchsorted(_PLACES + _WIDTHS, bits - place, side="right")
    places, widths = place + _PLACES[:fits], _WIDTHS[:fits]
    byte, bit = places >> 3, places & 7
    three = padded[byte] << 16 | padded[byte + 1] << 8 | padded[byte + 2]
    codes: Codes = (three >> (24 - bit - widths)) & ((1 << widths) - 1)
    return codes


def _length_of(codes: Codes) -> int:
    """Returns the number of bytes of codes without clear code and end mark."""
    if (codes > _LARGEST[: len(codes)]).any() or (codes[:1] >= _CLEAR).any():
        raise DamageError("LZW: a code names an entry that does not exist")
    # Entry 257 + n is the string of code n (from 1) and one byte more. Follow all chains at once,
    # and double the steps each time.
    is_entry = codes > _END
    before = np.where(is_entry, codes - _END - 1, np.arange(len(codes)))
    lengths = is_entry.astype(np.int64)
    while is_entry[before].any():
        lengths += lengths[before]
        before = before[before]
    return len(codes) + int(lengths.sum())
