"""Names the part or the lot that an image shows, by the name of its file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from inspection.errors import ConfigError
from inspection.names import printable


@dataclass(frozen=True)
class NameExpression:
    """A regular expression whose first group, or whole match, is the name.

    Attributes:
        option: the place of the expression in a command or a configuration, for messages.

    Raises:
        ConfigError: the expression is not a regular one.
    """

    option: str
    expression: str

    def __post_init__(self) -> None:
        """Checks the expression."""
        try:
            re.compile(self.expression)
        except re.error as error:
            raise ConfigError(
                f"{self.option} {self.expression}: is not a regular expression ({error})"
            ) from error

    def __call__(self, path: Path) -> str:
        """Returns the name in the name of a file.

        Raises:
            ConfigError: the expression does not match.
        """
        found = re.search(self.expression, printable(path.name))
        if found is None:
            raise ConfigError(
                f"{self.option} {self.expression}: does not match the name of {printable(path)}"
            )
        return found[1] if found.re.groups else found[0]
