"""A PLC requests recipes, and the station polls it, by any protocol of `edge.peers`.

The PLC has four words; the station writes the last three:

    request      number of the recipe that the PLC wants (RecipeRequest); 0 asks for none
    status + 0   number of the recipe in force (RecipeActive)
    status + 1   0 nothing to do, 1 a recipe is being loaded, 2 the last request failed
    status + 2   the request that this answers

A new number is one request; so is the number that the station finds at its start, unless that
recipe is in force. To ask for the same one again the PLC writes 0, waits for the answer, and then
writes the number. The PLC sends the next parts when the answer is to its request, the state is 0,
RecipeActive is the number, and the station is READY.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from edge.part.signal import Seen, Signal, word_signal
from edge.peers.plc import Plc, Session
from edge.recipe.request.base import Answer, Request, State

P = TypeVar("P")

STATUS_WORDS = 3

_STATES = tuple(State)


class Addresses(NamedTuple):
    """The addresses of the words, as the tools of the PLC name them."""

    request: str
    active: str
    state: str
    answered: str

    @classmethod
    def of(cls, name_of: Callable[[P, int], str], request: P, status: P) -> Addresses:
        """Returns the names that `edge.peers.place_names` gives to places of a protocol."""
        return cls(name_of(request, 0), *(name_of(status, word) for word in range(STATUS_WORDS)))


class PlcRequests(Generic[P]):
    """Polls a PLC; see `edge.recipe.request.base.RequestSource`.

    Args:
        request, status: the places of the words.
        addresses: their names.
    """

    def __init__(self, plc: Plc[Any], *, request: P, status: P, addresses: Addresses) -> None:
        self._plc = plc
        self._request = request
        self._status = status
        self._wanted: int | None = None  # what stood there last; None before the first look
        self._addresses = addresses
        self._read: Seen | None = None
        self._written: Seen | None = None

    def open(self) -> None:
        """Connect."""
        self._plc.open()

    def take(self) -> Request | None:
        """Returns the number that the PLC wants, unless it is that of the last look."""

        async def read(session: Session[P]) -> int:
            return (await session.read(self._request))[0]

        wanted = self._plc.ask(f"address {self._request}", read)
        self._read = Seen((wanted,), time.monotonic_ns())
        before, self._wanted = self._wanted, wanted
        return Request(wanted, was_there=before is None) if wanted != before else None

    def answer(self, answer: Answer) -> None:
        """Write the three words."""
        request = answer.request.number if answer.request is not None else 0
        words = [answer.active or 0, _STATES.index(answer.state), request]

        async def write(session: Session[P]) -> None:
            await session.write(self._status, words)

        self._plc.ask(f"address {self._status}", write)
        self._written = Seen(words, time.monotonic_ns())

    def signals(self) -> Sequence[Signal]:
        """Returns the request as it was last read, and the words as they were last written."""
        addresses, written = self._addresses, self._written
        return [
            word_signal("recipe request", addresses.request, self._read, is_input=True),
            word_signal("recipe active", addresses.active, written),
            word_signal("recipe state", addresses.state, written, 1),
            word_signal("recipe answered", addresses.answered, written, 2),
        ]

    def close(self) -> None:
        """Disconnect."""
        self._plc.close()
