"""The signals of a driver as they were last written and read, for people who look for a fault."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

Value = bool | int | str | None

TEXT_MAX = 200
"""Characters of a text that are kept: a whole record is in the records."""


class Signal(NamedTuple):
    """One bit, word, topic, node or wire.

    Attributes:
        name: of the bit, field, topic or node, without its place.
        address: the place, as the tools of the peer name it.
        value: None before the first exchange.
        seen_ns: when it was written or read, on the monotonic clock; None before.
        is_input: the station reads it.
    """

    name: str
    address: str
    value: Value
    seen_ns: int | None
    is_input: bool = False


class Seen(NamedTuple):
    """Words, and when they were written or read on the monotonic clock."""

    words: Sequence[int]
    at_ns: int


@runtime_checkable
class HasSignals(Protocol):
    """A driver that knows what it has last written and read."""

    def signals(self) -> Sequence[Signal]:
        """Returns its signals, in the order of their addresses. From any thread; asks no peer."""


def word_signal(
    name: str, address: str, seen: Seen | None, place: int = 0, *, is_input: bool = False
) -> Signal:
    """Returns the signal of one of the words that were seen together."""
    if seen is None:
        return Signal(name, address, None, None, is_input)
    return Signal(name, address, seen.words[place], seen.at_ns, is_input)
