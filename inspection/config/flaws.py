"""Flaws of a configuration that its settings have together, each with the keys of both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pydantic_core import PydanticCustomError

Keys = tuple[str | int, ...]

FLAWED = "flawed"
_OTHER = "{other}"


class Flaw(NamedTuple):
    """Something wrong with a setting, because of another one.

    Attributes:
        keys: of the setting, below the model that finds the flaw.
        what: the problem; "{other}" in it is the place of the other setting.
        other: its keys, below the same model; None where one setting is wrong alone.
    """

    keys: Keys
    what: str
    other: Keys | None = None

    def told(self, other: str) -> str:
        """Returns the problem, with the place of the other setting in it."""
        return self.what.replace(_OTHER, other)


def flawed(flaws: Sequence[Flaw]) -> PydanticCustomError:
    """Returns the error to raise in a validator; `load_config` finds the lines of the settings."""
    told = [f"{dotted(flaw.keys)}: {flaw.told(dotted(flaw.other or ()))}" for flaw in flaws]
    return PydanticCustomError(FLAWED, "{told}", {"told": "; ".join(told), "flaws": list(flaws)})


def dotted(keys: Keys) -> str:
    """Returns keys as in a `--set`: a.b.0.c."""
    return ".".join(map(str, keys))
