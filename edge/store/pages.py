"""Reads the rows of an SQLite file page by page, whatever else of the file is damaged.

SQLite finds a table by its root and inner pages; one that is overwritten takes all rows below it
along. A leaf page stands for itself: its rows can be read without the others, see
https://www.sqlite.org/fileformat2.html#b_tree_pages. To which table a row belongs is told by the
number and the types of its columns.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

Value = int | float | str | bytes | None
PAGE_SIZE = 4096  # SQLite's own choice

_MAGIC = b"SQLite format 3\0"
_TABLE_LEAF = 0x0D
_FILE_HEAD = 100  # bytes before the first page's own
_INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
_FLOAT, _ZERO, _ONE = 7, 8, 9


class Row(NamedTuple):
    """A row of an unknown table.

    Attributes:
        values: of its columns; of an INTEGER PRIMARY KEY None, which stands in `number`.
    """

    number: int
    values: tuple[Value, ...]


class DamagedRowError(ValueError):
    """Something is no row."""


def page_size(head: bytes) -> int:
    """Returns the size of the pages of a file by its first bytes; SQLite's own if damaged."""
    size = int.from_bytes(head[16:18], "big")
    size = 65536 if size == 1 else size
    is_sound = head.startswith(_MAGIC) and size >= 512 and not size & (size - 1)
    return size if is_sound else PAGE_SIZE


def rows_of_page(page: bytes, number: int, read_page: Callable[[int], bytes]) -> Iterator[Row]:
    """Yields the rows of a page that can be read; none of a page that is no leaf of a table.

    Args:
        number: of the page, from 1.
        read_page: returns another page by its number; of one that does not exist b"".
    """
    start = _FILE_HEAD if number == 1 else 0
    if page[start] != _TABLE_LEAF:
        return
    (count,) = struct.unpack_from(">H", page, start + 3)
    for place in range(min(count, (len(page) - start - 8) // 2)):
        (at,) = struct.unpack_from(">H", page, start + 8 + 2 * place)
        try:
            yield _row(page, at, read_page)
        except (DamagedRowError, UnicodeDecodeError, struct.error):
            continue


def _row(page: bytes, at: int, read_page: Callable[[int], bytes]) -> Row:
    size, at = _varint(page, at)
    number, at = _varint(page, at)
    if not 0 < number < 1 << 63:
        raise DamagedRowError("the number is none")
    return Row(number, tuple(_values(_payload(page, at, size, read_page))))


def _payload(page: bytes, at: int, size: int, read_page: Callable[[int], bytes]) -> bytes:
    """Returns the bytes of a row, also of one that goes on in other pages."""
    room = len(page) - 35
    least = (len(page) - 12) * 32 // 255 - 23
    fitting = least + (size - least) % (len(page) - 4)
    here = size if size <= room else fitting if fitting <= room else least
    content = page[at : at + here]
    following = int.from_bytes(page[at + here : at + here + 4], "big") if here < size else 0
    seen = set()
    while len(content) < size and following and following not in seen:
        seen.add(following)
        more = read_page(following)
        content += more[4 : 4 + size - len(content)]
        following = int.from_bytes(more[:4], "big")
    if len(content) < size:
        raise DamagedRowError("the end is missing")
    return content


def _values(payload: bytes) -> Iterator[Value]:
    end, at = _varint(payload, 0)
    kinds = []
    while at < end:
        kind, at = _varint(payload, at)
        kinds.append(kind)
    at = end
    for kind in kinds:
        size = _size(kind)
        content = payload[at : at + size]
        if len(content) < size:
            raise DamagedRowError("a value is missing")
        yield _value(kind, content)
        at += size
    if at != len(payload):
        raise DamagedRowError("there is more than the values")


def _size(kind: int) -> int:
    if kind >= 12:
        return (kind - 12) // 2
    return 8 if kind == _FLOAT else _INTEGER_BYTES.get(kind, 0)


def _value(kind: int, content: bytes) -> Value:
    if kind in _INTEGER_BYTES:
        return int.from_bytes(content, "big", signed=True)
    if kind == _FLOAT:
        return float(struct.unpack(">d", content)[0])
    if kind >= 12:
        return content.decode() if kind % 2 else content
    if kind in {_ZERO, _ONE}:
        return kind - _ZERO
    if kind:
        raise DamagedRowError("a value of no kind")
    return None


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """Returns an integer of 1 to 9 bytes, and the place behind it."""
    value = 0
    for place in range(9):
        if at >= len(content):
            raise DamagedRowError("an integer is missing")
        byte = content[at]
        at += 1
        if place == 8:
            return (value << 8) | byte, at
        value = (value << 7) | (byte & 0x7F)
        if byte < 0x80:
            break
    return value, at
