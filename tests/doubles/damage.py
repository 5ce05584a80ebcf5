"""Overwrites pages of a database, as a disk does that writes to a wrong place."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

PAGE = 4096
INNER, LEAF = 0x05, 0x0D


def pages_of(path: Path, kind: int) -> list[int]:
    """Returns the pages of tables that are inner ones or leaves, without the first."""
    content = path.read_bytes()
    return [
        number for number in range(2, len(content) // PAGE + 1) if _kind(content, number) == kind
    ]


def overwrite(path: Path, pages: Iterable[int], seed: int = 1) -> None:
    """Overwrites pages, from 1, in the file that whoever has it open goes on reading."""
    with path.open("r+b") as stream:
        for number in pages:
            stream.seek((number - 1) * PAGE)
            stream.write(random.Random(seed + number).randbytes(PAGE))


def _kind(content: bytes, number: int) -> int:
    return content[(number - 1) * PAGE]
