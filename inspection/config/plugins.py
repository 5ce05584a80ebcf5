"""Tables name -> module: a driver is imported only when a configuration names it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

from inspection.errors import LinewardenError


class Plugin(NamedTuple):
    """Where a driver stands, and what to install when a package it needs is missing."""

    module: str
    attribute: str
    install: str


def load_plugin(
    family: str, name: str, table: Mapping[str, Plugin], error_class: type[LinewardenError]
) -> Any:
    """Import and return what `table[name]` names.

    Raises:
        error_class: `name` is not in the table, or a package the driver needs is not installed.
    """
    if name not in table:
        near = difflib.get_close_matches(name, table, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise error_class(f"unknown {family} {name!r}: known are {', '.join(sorted(table))}{hint}")
    plugin = table[name]
    try:
        module = import_module(plugin.module)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == plugin.module.partition(".")[0]:
            raise  # a typo of ours is not a missing package
        raise error_class(
            f"{family} {name!r} needs the package {package}, and it is not installed: "
            f"{plugin.install}"
        ) from error
    return getattr(module, plugin.attribute)
