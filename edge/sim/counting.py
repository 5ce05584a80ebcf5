"""A PLC that is written to, by any protocol: it counts parts as `edge.line.handshake` says."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from edge.line.block import BLOCK_WORDS, CAUSES
from edge.line.handshake import SEQUENCE_MAX, Bits
from edge.sim.base import History, Machine, Seen, View, bits_by_name, last_verdict


def seen_from_words(words: Sequence[int]) -> Seen:
    """Returns the verdict in a block."""
    bits = Bits(words[0])
    text = b"".join(word.to_bytes(2, "big") for word in words[3:BLOCK_WORDS]).rstrip(b"\0").decode()
    return Seen(text, Bits.PASS in bits, Bits.REJECT in bits, words[1])


def names_of_words(words: Sequence[int]) -> dict[str, int | str]:
    """Returns the numbers and the text of a block for a view."""
    cause = CAUSES[words[2] - 1].value if words[2] else "none"
    text = seen_from_words(words).trigger_id or ""
    return {"sequence": words[1], "cause": cause, "trigger_id": text}


class CountingPlc(Machine):
    """Counts with the station from the number that it sees when READY rises.

    It takes a verdict whose number is that of the part it waits for. Hung, it keeps what arrives
    and works it off when it wakes.

    Args:
        title: kind and address, for people.

    Attributes:
        port: that it listens on.
        writes: the last blocks that the station wrote.
        acknowledges: whether it gives the number of a verdict back.
    """

    def __init__(self, title: str, port: int, *, acknowledges: bool = True) -> None:
        super().__init__()
        self.port = port
        self.writes: History[list[int]] = History()
        self.acknowledges = acknowledges
        self._title = title
        self._awaited: int | None = None

    @abstractmethod
    def announce(self, part_id: str = "") -> None:
        """Announces a part, as the program of the PLC does.

        Raises:
            LineError: the line has no trigger here.
        """

    @abstractmethod
    def request_recipe(self, number: int) -> None:
        """Asks for a recipe.

        Raises:
            LineError: the line takes no requests from here.
        """

    def take(self, words: Sequence[int]) -> int | None:
        """Takes a block that was written; returns the number to acknowledge, None for none."""
        was_ready = Bits.READY in self.shown_bits()
        self.writes.append([int(word) for word in words])
        bits, number = self.shown_bits(), self.writes[-1][1]
        if Bits.RESULT_VALID not in bits:
            if Bits.READY in bits and not was_ready:
                self._awaited = _next(number)
        elif number == self._awaited:
            self._awaited = _next(number)
            self.seen.append(seen_from_words(self.writes[-1]))
            return number if self.acknowledges else None
        return None

    def shown_bits(self) -> Bits:
        """Returns the status word of the last write."""
        return Bits(self.writes[-1][0]) if self.writes else Bits(0)

    def view(self) -> View:
        """Implements `Machine.view`."""
        block = self.writes[-1] if self.writes else [0] * BLOCK_WORDS
        words = names_of_words(block) | last_verdict(self.seen)
        return View(self._title, bits_by_name(Bits(block[0])), words)


def _next(number: int) -> int:
    return number % SEQUENCE_MAX + 1
