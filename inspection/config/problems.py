"""Turns pydantic's errors about a configuration into lines with file, line and key."""

from __future__ import annotations

import difflib
import re
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from pydantic import AliasChoices, BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from inspection.config.flaws import FLAWED, Flaw, Keys, dotted
from inspection.config.yaml_source import SET, Node, Problem, child, shown, where
from inspection.redaction import names_a_secret, redacted


def problems_of(error: ValidationError, model: type[BaseModel], root: Node) -> list[Problem]:
    """Finds the problems of a configuration, and their places in the file."""
    details = error.errors(include_url=False)
    found = [(one["type"], problem) for one in details for problem in _described(one, model, root)]
    return [
        problem
        for kind, problem in found
        if kind != "too_short" or not any(_is_below(other, problem) for _, other in found)
    ]


def _is_below(one: Problem, other: Problem) -> bool:
    """Returns True for a problem in a list; pydantic counts only the items without one."""
    return len(one.keys) > len(other.keys) and one.keys[: len(other.keys)] == other.keys


def _described(error: ErrorDetails, model: type[BaseModel], root: Node) -> list[Problem]:
    """Finds the places of a pydantic error.

    pydantic's location also names members of unions; the annotations show which parts those are.
    """
    kind: Any = model
    parent: Any = model
    node: Node | None = root
    mark, keys = root.mark, []
    for part in error["loc"]:
        members = _members(kind)
        if len(members) > 1:
            kind = next((one for one in members if _is_called(one, str(part))), Any)
        elif part != "[key]":
            parent, kind = members[0], _below(members[0], part)
            keys.append(part)
            node = child(node, part)
            mark = node.mark if node else mark
    if error["type"].startswith("union_tag_"):
        keys.append(error["ctx"]["discriminator"].strip("'"))
        chosen = child(node, keys[-1])
        mark = chosen.mark if chosen else mark
    if error["type"] == FLAWED:
        return [_flaw(flaw, tuple(keys), root) for flaw in error["ctx"]["flaws"]]
    what, found = _explained(error, parent)
    is_secret = any(names_a_secret(str(key)) for key in keys)
    return [Problem(mark, tuple(keys), what, "" if is_secret else found)]


def _flaw(flaw: Flaw, above: Keys, root: Node) -> Problem:
    """Returns the problem at its setting, with the place of the other one."""
    keys = (*above, *flaw.keys)
    mark = _lowest(keys, root)[0]
    if flaw.other is None:
        return Problem(mark, keys, flaw.what)
    other = (*above, *flaw.other)
    other_mark, depth = _lowest(other, root)
    place = [where(other_mark)] if depth else []
    absent = ["not given"] if depth < len(other) else []
    told = flaw.told(f"{dotted(other)} ({', '.join(place + absent)})")
    return Problem(mark, keys, told)


def _lowest(keys: Keys, root: Node) -> tuple[yaml.Mark, int]:
    """Returns the mark of a setting, or of the next one above it, and its number of keys."""
    mark, node = root.mark, root
    for depth, key in enumerate(keys):
        below = child(node, key)
        if below is None:
            return mark, depth
        mark, node = below.mark, below
    return mark, len(keys)


def _members(kind: Any) -> list[Any]:
    """Returns the alternatives of an annotation without None."""
    kind = getattr(kind, "__value__", kind)  # type X = ...
    origin = get_origin(kind)
    if origin is Annotated:
        return _members(get_args(kind)[0])
    if origin not in (Union, UnionType):
        return [kind]
    alternatives = [one for one in get_args(kind) if one is not type(None)]
    return _members(alternatives[0]) if len(alternatives) == 1 else alternatives


def _is_called(kind: Any, label: str) -> bool:
    """Returns True when pydantic uses `label` for this member of a union: its tag or class name."""
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
    """Returns the annotation of the value at `key` of a model, list, tuple or mapping."""
    if _is_model(kind):
        fields = kind.model_fields.items()
        return next((f.annotation for name, f in fields if key in (name, *_names(name, f))), Any)
    inner = [one for one in get_args(kind) if one is not Ellipsis] or [Any]
    if get_origin(kind) is tuple and isinstance(key, int):
        return inner[min(key, len(inner) - 1)]
    return inner[-1]


def _names(name: str, field: FieldInfo) -> list[str]:
    """Returns the keys under which a file may give a field."""
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
    """Returns the problem, and the offending value when it helps."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in ("missing", "union_tag_not_found"):
        return "is missing", ""
    if kind == "hidden":
        return error["msg"], ""
    if kind == "extra_forbidden":
        return _unknown(str(error["loc"][-1]), parent), ""
    found = f", found {shown(error['input'])}"
    if kind == "union_tag_invalid":
        known = re.findall("'(.*?)'", context["expected_tags"])
        return f"{context['tag']!r} is unknown" + _hint(context["tag"], known), ""
    if kind in _KINDS:
        return f"should be {_KINDS[kind]}", found
    what = re.sub(r"^(\w+ (?=should )|Value error, )", "", error["msg"])
    what = re.sub(", unable to (parse string|interpret input).*", "", what)
    is_whole = isinstance(error["input"], dict | list | BaseModel) and not kind.endswith("_type")
    return what, "" if is_whole else found


def _unknown(given: str, parent: Any) -> str:
    if given in getattr(parent, "moved_keys", ()):
        return f"is a key of an older version; {parent.moved_keys[given]}"
    fields = parent.model_fields.items() if _is_model(parent) else ()
    return "unknown key" + _hint(given, [key for name, f in fields for key in _names(name, f)])


def _hint(given: str, known: list[str]) -> str:
    near = difflib.get_close_matches(given.lower(), known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(sorted(known))}"


def report(problems: list[Problem]) -> str:
    """Returns one line for each problem, in the order of the file and then of the overrides.

    Problems of several union alternatives with the same value share a line.
    """
    lines: dict[tuple[str, str, str], list[str]] = {}
    for mark, keys, what, found in sorted(
        problems, key=lambda problem: (problem.mark.name.startswith(SET), problem.mark.line)
    ):
        place = ": ".join(filter(None, (where(mark), dotted(keys))))
        lines.setdefault((place, found, "" if found else what), []).append(what)
    return "\n".join(
        redacted(f"{place}: {' or '.join(dict.fromkeys(alternatives))}{found}")
        for (place, found, _), alternatives in lines.items()
    )
