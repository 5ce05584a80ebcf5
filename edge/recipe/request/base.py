"""The contract of a source of recipe requests, and the answers to it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Protocol

from pydantic import Field

RequestedNumber = Annotated[int, Field(ge=0, le=65535)]
"""The number of a recipe in a request, as a register holds it; 0 asks for none."""

PollMilliseconds = Annotated[float, Field(ge=10, le=10_000)]


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        number: of the recipe; 0 asks for none.
        request_id: the peer's name for it; None when it gives none.
        was_there: it was there when the station connected, and may be in force already.
        problem: why it is not valid; empty when it is.
    """

    number: int
    request_id: str | None = None
    was_there: bool = False
    problem: str = ""


class State(str, Enum):
    """The progress of a request."""

    IDLE = "idle"  # nothing to do
    LOADING = "loading"
    FAILED = "failed"  # the last request failed


@dataclass(frozen=True)
class Answer:
    """The state of the recipes.

    Attributes:
        active: number of the recipe in force.
        request: the answered one; None before the first.
        failure: why it failed; empty when it did not.
    """

    active: int | None
    state: State
    request: Request | None
    failure: str


class RecipeStanding(Protocol):
    """The used part of `edge.recipe.changeover.RecipeStatus`."""

    @property
    def active(self) -> int | None:
        """Number of the recipe in force."""

    @property
    def loading(self) -> int | None:
        """Number of the recipe that is being loaded."""

    @property
    def failure(self) -> str | None:
        """Why the last request failed."""


class Recipes(Protocol):
    """The used part of `edge.recipe.changeover.Changeover`."""

    @property
    def status(self) -> RecipeStanding:
        """The state of the recipes."""

    def request(self, number: int) -> None:
        """Begin to load a recipe; LineError when it is refused."""


class RequestSource(Protocol):
    """A peer that requests recipes. One thread calls it."""

    def open(self) -> None:
        """Connect. Called again after every LineError.

        Raises:
            LineError: it cannot be opened; the message says what to check.
        """

    def take(self) -> Request | None:
        """The newest request that was not taken yet, without waiting; None when there is none.

        Raises:
            LineError: the connection is lost.
        """

    def answer(self, answer: Answer) -> None:
        """Tell the state of the recipes; called again and again.

        Raises:
            LineError: the connection is lost.
        """

    def close(self) -> None:
        """Disconnect. Safe to call twice, and without `open`."""
