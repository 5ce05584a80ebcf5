"""Loads a driver or the package behind it only when a configuration names it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

from inspection.errors import LinewardenError

_OURS = ("inspection", "edge", "export", "linewarden")


class Plugin(NamedTuple):
    """The place of a driver, and the command that installs the package it needs."""

    module: str
    attribute: str
    install: str


def load_plugin(
    family: str, name: str, table: Mapping[str, Plugin], error_class: type[LinewardenError]
) -> Any:
    """Import and return what `table[name]` names.

    Raises:
        error_class: `name` is not in the table, or a package for the driver is not installed.
    """
    if name not in table:
        near = difflib.get_close_matches(name, table, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise error_class(f"unknown {family} {name!r}: known are {', '.join(sorted(table))}{hint}")
    plugin = table[name]
    require(f"{family} {name!r}", plugin.module, plugin.install, error_class)
    return getattr(import_module(plugin.module), plugin.attribute)


class Sdk:
    """A package that a driver needs, imported when the first of its names is used.

    A file with a driver holds its configuration too, which is read where the package is not
    installed. The type checker sees the package itself: import it under TYPE_CHECKING.
    """

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        """Returns a name of the package."""
        return getattr(import_module(self._module), name)


def require(driver: str, package: str, install: str, error_class: type[LinewardenError]) -> None:
    """Imports `package`.

    Args:
        driver: its user, for the message: "output 'mqtt'".
        install: the command that installs it.

    Raises:
        error_class: the package is not installed.
    """
    try:
        import_module(package)
    except ModuleNotFoundError as error:
        missing = (error.name or package).partition(".")[0]
        if missing in _OURS:
            raise  # a typo of ours is not a missing package
        raise error_class(
            f"{driver} needs the package {missing}, and it is not installed: {install}"
        ) from error
