"""Flaws of a configuration that its settings have together, each with the keys of both."""

from __future__ import annotations

from collections.abc import Iterable
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


def refuse(flaws: Iterable[Flaw]) -> None:
    """Raises the error of a validator, where there are flaws; `load_config` finds their lines.

    Raises:
        PydanticCustomError: there are some.
    """
    found = list(flaws)
    if found:
        told = [f"{dotted(flaw.keys)}: {flaw.told(dotted(flaw.other or ()))}" for flaw in found]
        raise PydanticCustomError(FLAWED, "{told}", {"told": "; ".join(told), "flaws": found})


def dotted(keys: Keys) -> str:
    """Returns keys as in a `--set`: a.b.0.c."""
    return ".".join(map(str, keys))
