"""Classes with exactly the members of a recording, which behave as those of pybind11.

A member outside the recording raises AttributeError, a wrong argument raises TypeError, and only
TensorRT makes the classes that it alone may make. A behaviour implements the members: a plain class
whose methods have the recorded names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "tensorrt_surface"
VERSIONS = {
    "10.3": "10.3.0",
    "10.7": "10.7.0",
    "10.13": "10.13.3.9",
    "10.16": "10.16.1.11",
    "11.4": "11.4.0.106",
}
RTX = "rtx-1.7"  # TensorRT for RTX
RECORDINGS = {**VERSIONS, RTX: "rtx-1.7.1.116"}


class Named:
    """A value of an enumeration of TensorRT, which `int` turns into its number."""

    def __init__(self, owner: str, name: str, value: int) -> None:
        self._owner, self.name, self.value = owner, name, value

    def __int__(self) -> int:
        return self.value

    def __index__(self) -> int:
        return self.value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Named) and (other._owner, other.value) == (self._owner, self.value)

    def __hash__(self) -> int:
        return hash((self._owner, self.value))

    def __repr__(self) -> str:
        return f"<{self._owner}.{self.name}: {self.value}>"


class Surface:
    """One recorded version with behaviours behind it.

    Args:
        behaviours: behaviour by class name; its first argument is this surface.
        world: state that the behaviours share.
    """

    def __init__(self, version: str, behaviours: Mapping[str, type], world: Any) -> None:
        recording = json.loads((FOLDER / f"{RECORDINGS[version]}.json").read_text())
        self.version: str = recording["version"]
        self.world = world
        self._behaviours = behaviours
        self.classes: dict[str, Any] = {}
        for name, record in recording["classes"].items():
            make = self._enumeration if "enum" in record else self._class
            self.classes[name] = make(name, record)

    def wrap(self, name: str, *arguments: Any) -> Any:
        """Returns an object that only TensorRT may make."""
        instance = object.__new__(self.classes[name])
        instance._it = self._behaviours[name](self, *arguments)
        return instance

    def named(self, owner: str, name: str) -> Any:
        """Returns a value of an enumeration."""
        return getattr(self.classes[owner], name)

    def _enumeration(self, name: str, record: Mapping[str, Any]) -> Any:
        members = {key: Named(name, key, value) for key, value in record["enum"].items()}
        return type(name, (), {**members, "__members__": members, "__slots__": ()})

    def _class(self, name: str, record: Mapping[str, Any]) -> Any:
        space: dict[str, Any] = {"__slots__": ("__weakref__", "_it"), "__module__": "tensorrt"}
        for member, kind in record["members"].items():
            if member == "__init__":
                space[member] = self._constructor(name, kind)
            elif isinstance(kind, list) or kind in {"overloaded", "abstract"}:
                space[member] = self._method(name, member, kind)
            elif kind.endswith("property"):
                space[member] = self._property(name, member, is_writable=kind == "property")
        return type(name, (), space)

    def _constructor(self, name: str, kind: str | list[str]) -> Any:
        def construct(instance: Any, *arguments: Any, **named: Any) -> None:
            if kind == "abstract":
                raise TypeError(f"{name}: No constructor defined!")
            behaviour = self._behaviours.get(name, _Nothing)
            values = bind(name, kind, arguments, named)
            instance._it = behaviour(self, *values[0], **values[1])

        return construct

    def _method(self, name: str, member: str, kind: str | list[str]) -> Any:
        def call(instance: Any, *arguments: Any, **named: Any) -> Any:
            values = bind(f"{name}.{member}", kind, arguments, named)
            return getattr(_behaviour(instance, name, member), member)(*values[0], **values[1])

        return call

    def _property(self, name: str, member: str, *, is_writable: bool) -> property:
        def read(instance: Any) -> Any:
            return getattr(_behaviour(instance, name, member), member)

        def write(instance: Any, value: Any) -> None:
            setattr(_behaviour(instance, name, member), member, value)

        return property(read, write if is_writable else None)


class _Nothing:
    """Behaviour of a class whose methods the program under test implements."""

    def __init__(self, surface: Surface) -> None:
        self.surface = surface


def bind(
    what: str, kind: str | list[str], arguments: tuple[Any, ...], named: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Checks arguments against the recorded parameters; overloads check themselves."""
    if not isinstance(kind, list):
        return arguments, named
    names = [parameter.rstrip("=") for parameter in kind]
    given = dict(zip(names, arguments, strict=False))
    needed = {parameter for parameter in kind if not parameter.endswith("=")}
    if (
        len(arguments) > len(names)
        or given.keys() & named.keys()
        or not named.keys() <= set(names)
        or not needed <= given.keys() | named.keys()
    ):
        raise TypeError(f"{what}(): incompatible function arguments; it takes {kind}")
    return (), {**given, **named}


def initialised(instance: Any, name: str) -> Any:
    """Returns an object of a class that Python code may derive from; refuses as pybind11 does."""
    if not hasattr(instance, "_it"):
        raise TypeError(f"{name}.__init__() must be called when overriding __init__")
    return instance


def _behaviour(instance: Any, name: str, member: str) -> Any:
    behaviour = instance._it
    if not hasattr(behaviour, member):
        raise NotImplementedError(f"the double of TensorRT does nothing for {name}.{member}")
    return behaviour
