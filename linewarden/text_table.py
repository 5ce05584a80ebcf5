"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], *, numbers_from: int | None = None) -> list[str]:
    """Returns the rows as lines with aligned columns.

    Args:
        numbers_from: first column that is aligned to the right; None for no such column.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lefts = len(widths) if numbers_from is None else numbers_from
    return [
        "  ".join(
            cell.ljust(width) if place < lefts else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
