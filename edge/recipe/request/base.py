"""What every way to ask for a recipe offers, and the answers that it gets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Protocol

from pydantic import Field

PollMilliseconds = Annotated[float, Field(ge=10, le=10_000)]


@dataclass(frozen=True)
class Request:
    """What was asked for.

    Attributes:
        number: of the recipe; 0 asks for none.
        request_id: what the asker calls it; None when it does not say.
        was_there: it stood there when the station came, which need not be asked for again.
        problem: why it is no request; empty when it is one.
    """

    number: int
    request_id: str | None = None
    was_there: bool = False
    problem: str = ""


class State(str, Enum):
    """How the station gets on with the requests."""

    IDLE = "idle"  # nothing to do
    LOADING = "loading"
    FAILED = "failed"  # the last request came to nothing


@dataclass(frozen=True)
class Answer:
    """Where the recipes stand.

    Attributes:
        active: number of the recipe in force.
        request: the one that this is the answer to; None before the first.
        failure: why it came to nothing; empty when it did not.
    """

    active: int | None
    state: State
    request: Request | None
    failure: str


class RecipeStanding(Protocol):
    """What is used of `edge.recipe.changeover.RecipeStatus`."""

    @property
    def active(self) -> int | None:
        """Number of the recipe in force."""

    @property
    def loading(self) -> int | None:
        """What is being loaded."""

    @property
    def failure(self) -> str | None:
        """Why the last request came to nothing."""


class Recipes(Protocol):
    """What is used of `edge.recipe.changeover.Changeover`."""

    @property
    def status(self) -> RecipeStanding:
        """Where the recipes stand."""

    def request(self, number: int) -> None:
        """Begin to load a recipe; LineError when it is refused."""


class RequestSource(Protocol):
    """Somebody who asks for recipes. One thread calls it."""

    def open(self) -> None:
        """Connect. Called again after every LineError: what is lost is connected anew.

        Raises:
            LineError: it cannot be opened; the message says what to check.
        """

    def take(self) -> Request | None:
        """The newest request that was not taken yet, without waiting; None when there is none.

        Raises:
            LineError: the connection is lost.
        """

    def answer(self, answer: Answer) -> None:
        """Tell where the recipes stand; called again and again.

        Raises:
            LineError: the connection is lost.
        """

    def close(self) -> None:
        """Disconnect. Safe to call twice, and without `open`."""
