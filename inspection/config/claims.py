"""Claims: the things that one part of a configuration has for itself, such as a port or a file.

Settings that are right alone can be wrong together. Each model says what it claims, and every model
compares the claims of all models below it, so that a new driver takes part by its `claims` alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from typing import Any, NamedTuple, Protocol

from pydantic import BaseModel, model_validator

from inspection.config.flaws import Flaw, Keys, refuse
from inspection.config.loading import StrictModel


class Resource(Protocol):
    """A thing that has one user. `str` names it for messages."""

    @property
    def advice(self) -> str:
        """What to do where two parts claim it."""

    def meets(self, other: Resource) -> bool:
        """Returns whether nobody can have both."""


class Claim(NamedTuple):
    """A claim of a model; `keys` lead from the model to the setting."""

    keys: Keys
    resource: Resource


class Claimant(StrictModel):
    """A configuration that claims things for itself, or that holds several which do."""

    def claims(self) -> Iterable[Claim]:
        """Returns the claims of this model, without those of the models in it."""
        return ()

    @model_validator(mode="after")
    def _claims_nothing_twice(self) -> Claimant:
        refuse(collisions(combinations(all_claims(self), 2)))
        return self


def all_claims(value: Any, keys: Keys = ()) -> Iterator[Claim]:
    """Returns the claims of a configuration and of everything in it."""
    if isinstance(value, Claimant):
        yield from (Claim((*keys, *claim.keys), claim.resource) for claim in value.claims())
    for key, below in _below(value):
        yield from all_claims(below, (*keys, key))


def collisions(pairs: Iterable[tuple[Claim, Claim]]) -> list[Flaw]:
    """Returns one flaw of each two settings that claim the same thing."""
    found: dict[tuple[Keys, Keys], Flaw] = {}
    for first, second in pairs:
        if first.resource.meets(second.resource):
            mine, theirs = str(second.resource), str(first.resource)
            same = "it too" if mine == theirs else theirs
            what = f"takes {mine}, and {{other}} takes {same}; {second.resource.advice}"
            found.setdefault((first.keys, second.keys), Flaw(second.keys, what, first.keys))
    return list(found.values())


def _below(value: Any) -> Iterable[tuple[str | int, Any]]:
    if isinstance(value, BaseModel):
        return value
    if isinstance(value, Mapping):
        return value.items()
    if isinstance(value, list | tuple):
        return enumerate(value)
    return ()
