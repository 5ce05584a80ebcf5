"""Pauses between attempts to connect something again."""

from __future__ import annotations

from collections.abc import Iterator

_FIRST_S, _LONGEST_S = 0.1, 5.0


def growing_pauses() -> Iterator[float]:
    """Seconds, without end: each twice the one before, up to five."""
    pause_s = _FIRST_S
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, _LONGEST_S)
