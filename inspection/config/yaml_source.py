"""Reads YAML as a tree of values with their positions, and lays `--set` settings over it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel

from inspection.config.flaws import Keys, dotted
from inspection.errors import ConfigError
from inspection.names import encodable
from inspection.redaction import HIDDEN, names_a_secret, redacted_value

SET = "--set "
_TAG = "tag:yaml.org,2002:"

# Far above every configuration that a person writes, and read within seconds.
_MAX_BYTES = 1 << 19
_MAX_VALUES = 100_000  # aliases count each time: nine lines of them can stand for 10^9 values
_MAX_DEPTH = 60  # Python ends a recursion at 1000 calls, its regular expressions and pydantic too
_MAX_DIGITS = 100  # an int of more than 4300 digits cannot be written into a message
_MAX_SHOWN = 200


class CommandLineText(str):
    """Text of a `--set`; a path in it is relative to the working directory, as in a shell."""

    __slots__ = ()


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads more plain words as text."""


class Dumper(yaml.SafeDumper):
    """SafeDumper that quotes text which YAML 1.1 or `_Loader` would read as something else."""


_NUMBER_STARTS = "-+.0123456789"
_FLOAT = r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9][0-9_]*(?=[eE]))([eE][-+]?[0-9]+)?$"
_PLAIN = [  # tag, pattern, first characters
    ("float", _FLOAT, _NUMBER_STARTS),
    ("int", r"[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F]+)$", _NUMBER_STARTS),
    ("bool", r"(true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"(~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("merge", r"<<$", "<"),
]
_Loader.yaml_implicit_resolvers = {}
for _name, _pattern, _starts in _PLAIN:
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(_pattern), list(_starts))
Dumper.add_implicit_resolver(_TAG + "float", re.compile(_FLOAT), list(_NUMBER_STARTS))
Dumper.add_representer(  # PyYAML writes U+0085 and the like unquoted, and reads them as line breaks
    str,
    lambda dumper, text: dumper.represent_scalar(
        _TAG + "str", text, style=None if text.isprintable() else '"'
    ),
)

_NAMED = re.compile(r"(?:alias|anchor|tag handle) ('[^']*'|\"[^\"]*\")")


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError("too many digits")
    return int(text, 0)


_SCALARS: dict[str, Callable[[str], Any]] = {
    _TAG + "null": lambda _: None,
    _TAG + "bool": lambda text: {"true": True, "false": False}[text.lower()],
    _TAG + "int": lambda text: _integer(text.replace("_", "")),
    _TAG + "float": lambda text: float(text.replace("_", "")),
    _TAG + "str": str,
}


@dataclass
class Node:
    """A value with the position of its key, or its own position in a list."""

    mark: yaml.Mark
    value: Any  # dict[str, Node], list[Node], or a scalar


class Problem(NamedTuple):
    """A problem at a place of a file or in a `--set`; `found` shows the value there."""

    mark: yaml.Mark
    keys: Keys
    what: str
    found: str = ""


def read(path: Path, problems: list[Problem]) -> Node:
    """Reads a YAML file as a tree, and adds forbidden content to `problems`.

    Raises:
        ConfigError: the file cannot be read, or is not a YAML mapping.
    """
    node = _composed(_text(path), str(path))
    if node is None or node.tag == _TAG + "null":
        return Node(_mark(str(path)), {})
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{where(node.start_mark)}: should be a mapping of keys to values")
    return _Tree(problems).built(node, node.start_mark)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)  # a device or a pipe may never end
        if len(content) > _MAX_BYTES:
            raise ConfigError(f"{path}: has more than {_MAX_BYTES} bytes: not a configuration")
        return content.decode("utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{path}: cannot be read: {reason}") from error


def _composed(text: str, name: str) -> yaml.Node | None:
    try:
        loader = _Loader(text)
        loader.name = name
        return loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark or _mark(name)
        what = ", ".join(filter(None, (error.context, error.problem)))
        hint = "; indent with spaces" if "'\\t'" in what else ""
        if named := _NAMED.search(what):  # a name from the file, which may be a password
            what = what.replace(f" {named[1]}", "")
            hint = "; quote a text that begins with *, & or !"
        # Without the cause: it quotes the line.
        raise ConfigError(f"{where(mark, column=True)}: is not YAML: {what}{hint}") from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position].split("\n")
        place = where(_mark(name, len(before) - 1, len(before[-1])), column=True)
        character = f"U+{ord(text[error.position]):04X}"
        raise ConfigError(f"{place}: is not YAML: it has the character {character}") from error
    except RecursionError as error:
        raise ConfigError(f"{name}: is nested too deeply") from error


class _Tree:
    """Builds values from PyYAML's nodes, resolves merge keys, and notes forbidden content."""

    def __init__(self, problems: list[Problem]) -> None:
        self._problems = problems
        self._open: list[yaml.Node] = []
        self._count = 0

    def built(self, node: yaml.Node, mark: yaml.Mark, keys: Keys = ()) -> Node:
        self._count += 1
        if node in self._open:
            raise ConfigError(f"{where(mark)}: {dotted(keys)}: contains itself")
        if len(self._open) >= _MAX_DEPTH:
            raise ConfigError(f"{where(mark)}: is nested too deeply")
        if self._count > _MAX_VALUES:
            high = self._open[:3][-1].start_mark  # `mark` is where the last of the aliases leads
            raise ConfigError(
                f"{where(high)}: has more than {_MAX_VALUES} values; each alias counts"
            )
        self._open.append(node)
        value: Any
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            value = self._mapping(node, keys)
        elif isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            items = enumerate(node.value)
            value = [self.built(item, item.start_mark, (*keys, i)) for i, item in items]
        else:
            value = self._scalar(node, mark, keys)
        self._open.pop()
        return Node(mark, value)

    def _mapping(self, node: yaml.MappingNode, keys: Keys) -> dict[str, Node]:
        own: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        lines: dict[str, int] = {}
        for key, value in node.value:
            mark, name = key.start_mark, key.value
            if not isinstance(key, yaml.ScalarNode):
                what = "a key should be plain text; quote a text that begins with { or ["
                self._problems.append(Problem(mark, keys, what))
            elif name in lines:
                what = f"is given here and on line {lines[name]}; keep one"
                self._problems.append(Problem(mark, (*keys, name), what))
            elif key.tag == _TAG + "merge":
                merged = self._merged(value, mark, keys)
            else:
                own[name] = self.built(value, mark, (*keys, name))
            lines.setdefault(str(name), mark.line + 1)
        return merged | own

    def _merged(self, value: yaml.Node, mark: yaml.Mark, keys: Keys) -> dict[str, Node]:
        merged: dict[str, Node] = {}
        for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
            below = self.built(source, mark, keys).value
            if isinstance(below, dict):
                merged = below | merged
            else:
                self._problems.append(Problem(mark, (*keys, "<<"), "should name mappings"))
        return merged

    def _scalar(self, node: yaml.Node, mark: yaml.Mark, keys: Keys) -> Any:
        tag = node.tag if isinstance(node, yaml.ScalarNode) else ""  # `!!str [a]` is not text
        try:
            value = _SCALARS[tag](node.value)
        except (KeyError, ValueError):
            kind = node.tag.removeprefix(_TAG)
            is_known = kind != node.tag
            what = (
                f"cannot be read as !!{kind}"
                if is_known
                else "has an unknown tag; quote a text that begins with !"
            )
            self._problems.append(Problem(mark, keys, what))
            return None
        is_typed = isinstance(value, str) and mark.name.startswith(SET)
        return CommandLineText(value) if is_typed else value


def data(node: Node) -> Any:
    """Returns the plain values of a tree."""
    if isinstance(node.value, dict):
        return {key: data(below) for key, below in node.value.items()}
    if isinstance(node.value, list):
        return [data(below) for below in node.value]
    return node.value


def lay_over(root: Node, override: str, problems: list[Problem]) -> None:
    """Sets `a.b=value` in a tree, and adds what is wrong with it to `problems`."""
    override = encodable(override)  # a path in it may have any bytes
    name, separator, text = override.partition("=")
    keys = tuple(name.split("."))
    is_secret = any(map(names_a_secret, keys))
    mark = _mark(SET + (f"{name}={HIDDEN}" if is_secret else redacted_value(override)))
    if not separator or not all(keys):
        problems.append(Problem(mark, (), "should be of the form key.path=value"))
        return
    try:
        value = _composed(text, mark.name)
        target = root
        for key in keys:
            target = _child_to_set(target, key, mark)
        target.mark = mark
        target.value = value and _Tree(problems).built(value, mark, keys).value
    except ConfigError as error:
        problems.append(Problem(mark, (), str(error).removeprefix(f"{mark.name}: ")))


def _child_to_set(node: Node, key: str, mark: yaml.Mark) -> Node:
    if node.value is None:
        node.value = {}
    if isinstance(node.value, dict):
        below: Node = node.value.setdefault(key, Node(mark, None))
        return below
    is_index = key.isdecimal() and len(key) <= _MAX_DIGITS
    found = child(node, int(key)) if is_index else None
    if found is None:
        raise ConfigError(f"nothing can be set at {shown(key)} of {shown(data(node))}")
    return found


def child(node: Node | None, key: str | int) -> Node | None:
    """Returns the value at a key of a mapping or an index of a list; None when there is none."""
    if node is not None and isinstance(node.value, dict):
        return node.value.get(str(key))
    if node is not None and isinstance(node.value, list) and isinstance(key, int):
        return node.value[key] if key < len(node.value) else None
    return None


def shown(value: Any) -> str:
    """Formats a value for an error message."""
    if isinstance(value, dict | BaseModel):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, str):
        text = repr(redacted_value(value))
    else:
        text = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def where(mark: yaml.Mark, *, column: bool = False) -> str:
    """Formats a place for an error message: `file:line`, or the `--set`."""
    if mark.name.startswith(SET):
        return mark.name
    return f"{mark.name}:{mark.line + 1}" + (f":{mark.column + 1}" if column else "")


def _mark(name: str, line: int = 0, column: int = 0) -> yaml.Mark:
    return yaml.Mark(name, 0, line, column, None, 0)
