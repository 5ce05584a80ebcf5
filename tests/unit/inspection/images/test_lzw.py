"""The length of LZW data, compared with the data itself."""

from __future__ import annotations

import numpy as np
import pytest

from inspection.images.damage import DamageError
from inspection.images.lzw import decoded_length


def compressed(data: bytes) -> bytes:
    """Compresses as TIFF 6.0, section 13, has it."""
    bits = ""
    table: dict[bytes, int] = {}
    width, string = 9, b""

    def put(code: int) -> None:
        nonlocal bits
        bits += f"{code:0{width}b}"

    put(256)
    for value in data:
        longer = string + bytes([value])
        if len(longer) == 1 or longer in table:
            string = longer
            continue
        put(table.get(string, string[0]))
        table[longer] = 258 + len(table)
        width = 9 + sum(258 + len(table) > limit for limit in (511, 1023, 2047))
        string = bytes([value])
        if 257 + len(table) == 4094:
            put(256)
            width, table = 9, {}
    if string:
        put(table.get(string, string[0]))
        count = 259 + len(table)
        width = 9 + sum(count > limit for limit in (511, 1023, 2047))
    put(257)
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


@pytest.mark.parametrize("levels", [1, 2, 7, 256])
@pytest.mark.parametrize("length", [1, 2, 3, 300, 5000, 40_000])
def test_the_length_of_what_was_compressed(levels: int, length: int) -> None:
    data = np.random.default_rng(length).integers(0, levels, length, dtype=np.uint8).tobytes()
    assert decoded_length(compressed(data)) == length


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\1\2", b"\x80"])
def test_data_without_a_clear_code(data: bytes) -> None:
    with pytest.raises(DamageError, match="does not begin with a clear code"):
        decoded_length(data)


def test_data_without_an_end() -> None:
    data = compressed(bytes(range(200)))
    with pytest.raises(DamageError, match="no clear code or end mark"):
        decoded_length(data[:-2])


def test_a_code_that_names_nothing() -> None:
    bits = f"{256:09b}{65:09b}{300:09b}{257:09b}0000"
    with pytest.raises(DamageError, match="names an entry that does not exist"):
        decoded_length(int(bits, 2).to_bytes(5, "big"))
