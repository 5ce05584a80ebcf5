"""Loads a driver or the package behind it only when a configuration names it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

from inspection.errors import LinewardenError

_OURS = ("calibration", "edge", "export", "inspection", "linewarden", "reports", "training")


class Plugin(NamedTuple):
    """Names the module and class of a driver, and the installation of its packages."""

    module: str
    attribute: str
    install: str


def load_plugin(
    family: str, name: str, table: Mapping[str, Plugin], error_class: type[LinewardenError]
) -> Any:
    """Imports and returns the attribute that `table[name]` names.

    Args:
        family: kind of the drivers, for the message: "camera".

    Raises:
        error_class: `name` is not in the table, or a package of the driver is not installed.
    """
    if name not in table:
        near = difflib.get_close_matches(name, table, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise error_class(f"unknown {family} {name!r}: known are {', '.join(sorted(table))}{hint}")
    plugin = table[name]
    require(f"{family} {name!r}", plugin.module, plugin.install, error_class)
    return getattr(import_module(plugin.module), plugin.attribute)


class Sdk:
    """Imports a driver's package on first use.

    The file of a driver holds its configuration too, and Linewarden reads configurations where the
    package is not installed. For the type checker, import the package under TYPE_CHECKING.
    """

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        """Returns a name of the package."""
        return getattr(import_module(self._module), name)


def require(driver: str, package: str, install: str, error_class: type[LinewardenError]) -> None:
    """Imports `package`.

    Args:
        driver: the driver that needs it, for the message: "output 'mqtt'".
        install: the command that installs it.

    Raises:
        error_class: the package is not installed.
    """
    try:
        import_module(package)
    except ModuleNotFoundError as error:
        missing = (error.name or package).partition(".")[0]
        if missing in _OURS:
            raise  # a wrong import in Linewarden itself is not a missing package
        raise error_class(
            f"{driver} needs the package {missing}, and it is not installed: {install}"
        ) from error
