"""Reading YAML configurations: strict, and every error with its file, line and key.

All configurations are pydantic models that derive from `StrictModel` and are read with
`load_config`. The model decides what a plain word means where YAML 1.1 would guess: `on` is true
for a bool and "on" for a text, `010` is ten, `1e-4` is a number, and keys are always text.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    ValidationInfo,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from edge.errors import ConfigError

M = TypeVar("M", bound=BaseModel)
Keys = tuple[str | int, ...]

_TAG = "tag:yaml.org,2002:"
_SET = "--set "


class StrictModel(BaseModel):
    """Base of all configuration models: unknown keys, NaN and infinity are refused."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        allow_inf_nan=False,
        protected_namespaces=(),
    )


class _CommandLineText(str):
    """Text of a `--set`: a path in it is relative to the working directory, as in a shell."""

    __slots__ = ()


def _beside_the_file(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, str | Path) or not info.context or "folder" not in info.context:
        return value
    folder = Path.cwd() if isinstance(value, _CommandLineText) else info.context["folder"]
    return folder / value


ConfigPath = Annotated[Path, BeforeValidator(_beside_the_file)]
"""A path relative to the configuration file it stands in; as given where none is being loaded."""


def load_config(path: Path, model: type[M], overrides: Sequence[str] = ()) -> M:
    """Read a YAML file into a configuration model.

    Args:
        path: the file; an empty one gives the model's defaults.
        model: what it describes.
        overrides: settings `a.b=value` that replace those of the file, as given with `--set`. The
            value is YAML; a number as key counts in a list. Later ones win.

    Raises:
        ConfigError: the file cannot be read or is no YAML mapping, or it does not fit `model`; all
            problems at once, each with file and line or with its `--set`.
    """
    problems: list[_Problem] = []
    root = _read(path, problems)
    for override in overrides:
        _override(root, override, problems)
    try:
        config = model.model_validate(_data(root), context={"folder": path.resolve().parent})
    except ValidationError as error:
        flawed = {problem.keys for problem in problems}
        described = [_described(details, model, root) for details in error.errors()]
        problems += [problem for problem in described if problem.keys not in flawed]
        raise ConfigError(_report(problems)) from error
    if problems:
        raise ConfigError(_report(problems))
    return config


def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the files that `load_config` reads, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema()}


def dump_yaml(model: BaseModel) -> str:
    """YAML that `load_config` reads back as an equal model."""
    values = model.model_dump(mode="json", by_alias=True)
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


# --- YAML ---------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """SafeLoader that takes fewer plain words for something else than text."""


class _Dumper(yaml.SafeDumper):
    """SafeDumper that quotes what YAML 1.1 or `_Loader` would not read as text."""


_NUMBER_STARTS = "-+.0123456789"
_FLOAT = r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9][0-9_]*(?=[eE]))([eE][-+]?[0-9]+)?$"
_PLAIN = [  # tag, what it looks like, characters it begins with
    ("float", _FLOAT, _NUMBER_STARTS),
    ("int", r"[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F]+)$", _NUMBER_STARTS),
    ("bool", r"(true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"(~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("merge", r"<<$", "<"),
]
_Loader.yaml_implicit_resolvers = {}
for _name, _pattern, _starts in _PLAIN:
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(_pattern), list(_starts))
_Dumper.add_implicit_resolver(_TAG + "float", re.compile(_FLOAT), list(_NUMBER_STARTS))
_Dumper.add_representer(  # PyYAML writes U+0085 and its like as they are, and reads line breaks
    str,
    lambda dumper, text: dumper.represent_scalar(
        _TAG + "str", text, style=None if text.isprintable() else '"'
    ),
)

_SCALARS: dict[str, Callable[[str], Any]] = {
    _TAG + "null": lambda _: None,
    _TAG + "bool": lambda text: {"true": True, "false": False}[text.lower()],
    _TAG + "int": lambda text: int(text.replace("_", ""), 0),
    _TAG + "float": lambda text: float(text.replace("_", "")),
    _TAG + "str": str,
}


@dataclass
class _Node:
    """A value, and where its key stands (where it stands itself, in a list)."""

    mark: yaml.Mark
    value: Any  # dict[str, _Node], list[_Node], or a scalar


class _Problem(NamedTuple):
    mark: yaml.Mark
    keys: Keys
    what: str
    found: str = ""


def _read(path: Path, problems: list[_Problem]) -> _Node:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{path}: cannot be read: {reason}") from error
    node = _composed(text, str(path))
    if node is None or node.tag == _TAG + "null":
        return _Node(_mark(str(path)), {})
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{_where(node.start_mark)}: should be a mapping of keys to values")
    return _Tree(problems).built(node, node.start_mark)


def _composed(text: str, name: str) -> yaml.Node | None:
    try:
        loader = _Loader(text)
        loader.name = name
        return loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark or _mark(name)
        what = ", ".join(filter(None, (error.context, error.problem)))
        hint = "; indent with spaces" if "'\\t'" in what else ""
        raise ConfigError(f"{_where(mark, column=True)}: is not YAML: {what}{hint}") from error
    except yaml.reader.ReaderError as error:
        before = text[: error.position].split("\n")
        where = _where(_mark(name, len(before) - 1, len(before[-1])), column=True)
        character = f"U+{ord(text[error.position]):04X}"
        raise ConfigError(f"{where}: is not YAML: it holds the character {character}") from error
    except RecursionError as error:
        raise ConfigError(f"{name}: is nested too deeply") from error


class _Tree:
    """Builds values from PyYAML's nodes, merge keys resolved, and notes what is not allowed."""

    def __init__(self, problems: list[_Problem]) -> None:
        self._problems = problems
        self._open: list[yaml.Node] = []

    def built(self, node: yaml.Node, mark: yaml.Mark, keys: Keys = ()) -> _Node:
        if node in self._open:
            raise ConfigError(f"{_where(mark)}: {'.'.join(map(str, keys))}: contains itself")
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
        return _Node(mark, value)

    def _mapping(self, node: yaml.MappingNode, keys: Keys) -> dict[str, _Node]:
        own: dict[str, _Node] = {}
        merged: dict[str, _Node] = {}
        lines: dict[str, int] = {}
        for key, value in node.value:
            mark, name = key.start_mark, key.value
            if not isinstance(key, yaml.ScalarNode):
                what = "a key should be plain text; quote a text that begins with { or ["
                self._problems.append(_Problem(mark, keys, what))
            elif name in lines:
                what = f"stands here and on line {lines[name]}; keep one"
                self._problems.append(_Problem(mark, (*keys, name), what))
            elif key.tag == _TAG + "merge":
                merged = self._merged(value, mark, keys)
            else:
                own[name] = self.built(value, mark, (*keys, name))
            lines.setdefault(str(name), mark.line + 1)
        return merged | own

    def _merged(self, value: yaml.Node, mark: yaml.Mark, keys: Keys) -> dict[str, _Node]:
        merged: dict[str, _Node] = {}
        for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
            below = self.built(source, mark, keys).value
            if isinstance(below, dict):
                merged = below | merged
            else:
                self._problems.append(_Problem(mark, (*keys, "<<"), "should name mappings"))
        return merged

    def _scalar(self, node: yaml.Node, mark: yaml.Mark, keys: Keys) -> Any:
        tag = node.tag if isinstance(node, yaml.ScalarNode) else ""  # `!!str [a]` is no text
        try:
            value = _SCALARS[tag](node.value)
        except (KeyError, ValueError):
            what = f"cannot be read as {node.tag.replace(_TAG, '!!')}"
            self._problems.append(_Problem(mark, keys, what))
            return None
        is_typed = isinstance(value, str) and mark.name.startswith(_SET)
        return _CommandLineText(value) if is_typed else value


def _data(node: _Node) -> Any:
    if isinstance(node.value, dict):
        return {key: _data(below) for key, below in node.value.items()}
    if isinstance(node.value, list):
        return [_data(below) for below in node.value]
    return node.value


def _override(root: _Node, override: str, problems: list[_Problem]) -> None:
    mark = _mark(_SET + override)
    name, separator, text = override.partition("=")
    keys = tuple(name.split("."))
    if not separator or not all(keys):
        problems.append(_Problem(mark, (), "should be of the form key.path=value"))
        return
    try:
        value = _composed(text, mark.name)
        target = root
        for key in keys:
            target = _child_to_set(target, key, mark)
        target.mark = mark
        target.value = value and _Tree(problems).built(value, mark, keys).value
    except ConfigError as error:
        problems.append(_Problem(mark, (), str(error).removeprefix(f"{mark.name}: ")))


def _child_to_set(node: _Node, key: str, mark: yaml.Mark) -> _Node:
    if node.value is None:
        node.value = {}
    if isinstance(node.value, dict):
        below: _Node = node.value.setdefault(key, _Node(mark, None))
        return below
    found = _child(node, int(key)) if key.isdecimal() else None
    if found is None:
        raise ConfigError(f"nothing can be set at {key!r} of {_shown(_data(node))}")
    return found


def _child(node: _Node | None, key: str | int) -> _Node | None:
    if node is not None and isinstance(node.value, dict):
        return node.value.get(str(key))
    if node is not None and isinstance(node.value, list) and isinstance(key, int):
        return node.value[key] if key < len(node.value) else None
    return None


# --- Problems -----------------------------------------------------------------------------------


def _described(error: ErrorDetails, model: type[BaseModel], root: _Node) -> _Problem:
    """An error of pydantic with its place in the file.

    pydantic's location also names members of unions; the annotations tell which parts those are.
    """
    kind: Any = model
    parent: Any = model
    node: _Node | None = root
    mark, keys = root.mark, []
    for part in error["loc"]:
        members = _members(kind)
        if len(members) > 1:
            kind = next((one for one in members if _is_called(one, str(part))), Any)
        elif part != "[key]":
            parent, kind = members[0], _below(members[0], part)
            keys.append(part)
            node = _child(node, part)
            mark = node.mark if node else mark
    if error["type"].startswith("union_tag_"):
        keys.append(error["ctx"]["discriminator"].strip("'"))
        chosen = _child(node, keys[-1])
        mark = chosen.mark if chosen else mark
    return _Problem(mark, tuple(keys), *_explained(error, parent))


def _members(kind: Any) -> list[Any]:
    """The alternatives of an annotation without None."""
    kind = getattr(kind, "__value__", kind)  # type X = ...
    origin = get_origin(kind)
    if origin is Annotated:
        return _members(get_args(kind)[0])
    if origin not in (Union, UnionType):
        return [kind]
    alternatives = [one for one in get_args(kind) if one is not type(None)]
    return _members(alternatives[0]) if len(alternatives) == 1 else alternatives


def _is_called(kind: Any, label: str) -> bool:
    """Whether pydantic calls this member of a union so: by its tag or by its class."""
    alternatives = _members(kind)
    if len(alternatives) > 1:
        return any(_is_called(one, label) for one in alternatives)
    if not _is_model(alternatives[0]):
        return False
    fields = alternatives[0].model_fields.values()
    tags = [str(tag) for field in fields for tag in get_args(field.annotation)]
    return label in tags or alternatives[0].__name__ in re.findall(r"\w+", label)


def _is_model(kind: Any) -> bool:
    return get_origin(kind) is None and isinstance(kind, type) and issubclass(kind, BaseModel)


def _below(kind: Any, key: str | int) -> Any:
    """The annotation of what stands at `key` in a model, list, tuple or mapping."""
    if _is_model(kind):
        fields = kind.model_fields.items()
        return next((f.annotation for name, f in fields if key in (name, *_names(name, f))), Any)
    inner = [one for one in get_args(kind) if one is not Ellipsis] or [Any]
    if get_origin(kind) is tuple and isinstance(key, int):
        return inner[min(key, len(inner) - 1)]
    return inner[-1]


def _names(name: str, field: FieldInfo) -> list[str]:
    """The keys under which a file may give a field."""
    alias = field.validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    return [one for one in choices if isinstance(one, str)] or [name]


_KINDS = {
    **dict.fromkeys(
        ("model_type", "model_attributes_type", "dict_type"), "a mapping of keys to values"
    ),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type"), "a list"),
}


def _explained(error: ErrorDetails, parent: Any) -> tuple[str, str]:
    """What is wrong, and what was found if that helps."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in ("missing", "union_tag_not_found"):
        return "is missing", ""
    if kind == "extra_forbidden":
        fields = parent.model_fields.items() if _is_model(parent) else ()
        known = [key for name, field in fields for key in _names(name, field)]
        return "unknown key" + _hint(str(error["loc"][-1]), known), ""
    found = f", found {_shown(error['input'])}"
    if kind == "union_tag_invalid":
        known = re.findall("'(.*?)'", context["expected_tags"])
        return f"{context['tag']!r} is unknown" + _hint(context["tag"], known), ""
    if kind in _KINDS:
        return f"should be {_KINDS[kind]}", found
    what = re.sub(r"^(\w+ (?=should )|Value error, )", "", error["msg"])
    what = re.sub(", unable to (parse string|interpret input).*", "", what)
    is_whole = isinstance(error["input"], dict | list | BaseModel) and not kind.endswith("_type")
    return what, "" if is_whole else found


def _hint(given: str, known: list[str]) -> str:
    near = difflib.get_close_matches(given.lower(), known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(sorted(known))}"


def _shown(value: Any) -> str:
    if isinstance(value, dict | BaseModel):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return json.dumps(value) if value is None or isinstance(value, bool) else repr(value)


def _report(problems: list[_Problem]) -> str:
    """One line for each problem, in the order of the file and then of the overrides.

    What the alternatives of a union say about the same value shares a line.
    """
    lines: dict[tuple[str, str, str], list[str]] = {}
    for mark, keys, what, found in sorted(
        problems, key=lambda problem: (problem.mark.name.startswith(_SET), problem.mark.line)
    ):
        place = ": ".join(filter(None, (_where(mark), ".".join(map(str, keys)))))
        lines.setdefault((place, found, "" if found else what), []).append(what)
    return "\n".join(
        f"{place}: {' or '.join(dict.fromkeys(alternatives))}{found}"
        for (place, found, _), alternatives in lines.items()
    )


def _where(mark: yaml.Mark, *, column: bool = False) -> str:
    if mark.name.startswith(_SET):
        return mark.name
    return f"{mark.name}:{mark.line + 1}" + (f":{mark.column + 1}" if column else "")


def _mark(name: str, line: int = 0, column: int = 0) -> yaml.Mark:
    return yaml.Mark(name, 0, line, column, None, 0)
