"""Things of a device that have one user: names in a space, and files."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path


@dataclass(frozen=True)
class Named:
    """One of several things of a kind.

    Attributes:
        kind: of the thing, with the place where its name is unique.
        name: None for the only one there is, which then is every other one too.
        what: names it for messages.
        advice: what to do where two parts claim it.
    """

    kind: str
    name: str | None
    what: str
    advice: str

    def meets(self, other: object) -> bool:
        """Returns True for the same name of the same kind."""
        return (
            isinstance(other, Named)
            and other.kind == self.kind
            and (None in (self.name, other.name) or self.name == other.name)
        )

    def __str__(self) -> str:
        return self.what


def gpio_line(chip: Path, line: str) -> Named:
    """Returns the claim to a line of a GPIO chip, by its name in the device tree."""
    what = f"the line {line} of {chip}"
    return Named(f"gpio {chip.resolve()}", line, what, "give each a line of its own")


class Use(Enum):
    """The use of a path."""

    FILE = "file"  # written
    FOLDER = "folder"  # everything in it is written
    SOURCE = "source"  # images are read from it: a folder, a file, or a glob


@dataclass(frozen=True)
class UsedPath:
    """A file or folder that the line writes, or a folder that it reads.

    Attributes:
        path: symbolic links are followed.
        what: the content, for messages.
    """

    path: Path
    use: Use
    what: str

    @property
    def advice(self) -> str:
        """Asks for another path."""
        return "give each a path of its own"

    def meets(self, other: object) -> bool:
        """Returns True where two would write the same, or one would read what the other writes."""
        if not isinstance(other, UsedPath):
            return False
        mine, theirs = self.path.resolve(), other.path.resolve()
        if mine == theirs:
            return {self.use, other.use} != {Use.SOURCE}
        is_above = self.use is Use.FOLDER and mine in theirs.parents
        return is_above or (other.use is Use.FOLDER and theirs in mine.parents)

    def __str__(self) -> str:
        return f"{self.path} for {self.what}"
