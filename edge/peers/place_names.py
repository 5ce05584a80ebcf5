"""Names of places in a PLC, as its tools write them."""

from __future__ import annotations

import re

from edge.peers.s7 import DbPlace


def register_name(first: int, word: int = 0, bit: int | None = None) -> str:
    """Names a Modbus register of several from `first` on, or a bit of it."""
    return f"register {first + word}{_bit(bit)}"


def db_name(first: DbPlace, word: int = 0, bit: int | None = None) -> str:
    """Names a word of a data block, or a bit of it: the high byte of a word comes first."""
    byte = first.byte + 2 * word
    if bit is None:
        return f"DB{first.db}.DBW{byte}"
    return f"DB{first.db}.DBX{byte + 1 - bit // 8}.{bit % 8}"


def tag_name(first: str, word: int = 0, bit: int | None = None) -> str:
    """Names an element of a tag, which may itself be an element, or a bit of it."""
    found = re.fullmatch(r"(.*)\[(\d+)\]", first)
    array, start = (found[1], int(found[2])) if found is not None else (first, 0)
    return f"{array}[{start + word}]{_bit(bit)}"


def _bit(bit: int | None) -> str:
    return "" if bit is None else f".{bit}"
