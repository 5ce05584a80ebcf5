"""The signals of the outputs that hold the block of `edge.line.block`, and their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, runtime_checkable

from edge.line.block import CAUSE, CAUSES, SEQUENCE, STATUS, TRIGGER_ID
from edge.line.handshake import Bits
from edge.part.signal import Seen, Signal, Value


@runtime_checkable
class Held(Protocol):
    """An output with bits that can be tested one by one, while no pipeline uses it."""

    def hold(self, bits: Bits) -> None:
        """Shows these bits and no verdict, until the next call.

        Raises:
            LineError: as for `LineOutput.send`.
        """


NameOf = Callable[[int, int | None], str]
"""Names the place of a word of the block, or of one of its bits."""


def block_signals(seen: Seen | None, name_of: NameOf) -> Iterator[Signal]:
    """Yields the signals of the block of `edge.line.block`."""
    words, at_ns = seen if seen is not None else (None, None)
    status = None if words is None else Bits(words[STATUS.first])
    for place, bit in enumerate(Bits):
        is_set = None if status is None else bit in status
        yield Signal(str(bit.name), name_of(STATUS.first, place), is_set, at_ns)
    for field, of in ((SEQUENCE, _number), (CAUSE, _cause), (TRIGGER_ID, _text)):
        value = None if words is None else of(words[field.first : field.first + field.words])
        yield Signal(field.name, name_of(field.first, None), value, at_ns)


def _number(words: Sequence[int]) -> Value:
    return words[0]


def _cause(words: Sequence[int]) -> Value:
    number = words[0]
    return f"{number} {CAUSES[number - 1].value}" if 0 < number <= len(CAUSES) else number


def _text(words: Sequence[int]) -> Value:
    text = b"".join(word.to_bytes(2, "big") for word in words)
    return text.rstrip(b"\0").decode("ascii", "replace")
