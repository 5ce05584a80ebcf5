"""Reading YAML configurations: strict, and every error with its file and line.

All configurations are pydantic models that derive from `StrictModel` and are read with
`load_config`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails

from edge.errors import ConfigError

Location = tuple[str | int, ...]
Config = TypeVar("Config", bound=BaseModel)


class StrictModel(BaseModel):
    """Base of all configuration models: unknown keys, NaN and infinity are refused."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        allow_inf_nan=False,
        protected_namespaces=(),
    )


def _beside_the_file(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder")
    return path if folder is None or path.is_absolute() else folder / path


ConfigPath = Annotated[Path, AfterValidator(_beside_the_file)]
"""A path that is relative to the configuration file it stands in."""


def load_config(path: Path | None, model: type[Config], overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file into a configuration model.

    Args:
        path: the file; None starts from the model's defaults.
        model: what it describes.
        overrides: settings `a.b=value` that replace those of the file, as given with `--set`.
            Paths in them are relative to the working directory.

    Raises:
        ConfigError: all problems at once, each with file and line or with its `--set`.
    """
    root = yaml.MappingNode("tag:yaml.org,2002:map", []) if path is None else _compose(path)
    tree = _construct(root, path)
    origins: dict[Location, str] = {}
    for override in overrides:
        _override(tree, origins, override)
    context = {"folder": path.resolve().parent if path is not None else None}
    try:
        return model.model_validate(tree, context=context)
    except ValidationError as error:
        source = _Source(path, root, tree, origins)
        problems = [_describe(problem, source, model) for problem in error.errors()]
        raise ConfigError("\n".join(problems)) from error


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key that stands twice, and reads 1e-4 as a number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def _compose(path: Path) -> yaml.MappingNode:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{path}: cannot be read ({reason})") from error
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise ConfigError(f"{where}: not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    if node is None:
        return yaml.MappingNode("tag:yaml.org,2002:map", [])
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{path}:{node.start_mark.line + 1}: is not a mapping of keys to values")
    return node


def _construct(root: yaml.MappingNode, path: Path | None) -> dict[str, Any]:
    _refuse_doubles(root, path)
    loader = _Loader("")
    try:
        tree: dict[str, Any] = loader.construct_document(root)
        return tree
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: {error.problem}") from error
    finally:
        loader.dispose()


def _refuse_doubles(node: yaml.Node, path: Path | None) -> None:
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in lines:
                raise ConfigError(
                    f"{path}:{line}: the key {key.value!r} stands here and on line "
                    f"{lines[key.value]}; keep one"
                )
            lines[str(key.value)] = line
            _refuse_doubles(value, path)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_doubles(value, path)


def _override(tree: dict[str, Any], origins: dict[Location, str], setting: str) -> None:
    name, separator, text = setting.partition("=")
    keys = name.split(".")
    if not separator or not all(keys):
        raise ConfigError(f"--set {setting}: is not of the form key.path=value")
    try:
        value = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {setting}: the value is not YAML: {error}") from error
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"--set {setting}: {key} has a value and no keys below it")
    tree[keys[-1]] = value
    origins[tuple(keys)] = f"--set {setting}"


class _Source(NamedTuple):
    """What was read, to say where a problem stands."""

    path: Path | None
    root: yaml.Node
    tree: dict[str, Any]
    origins: dict[Location, str]


def _describe(problem: ErrorDetails, source: _Source, model: type[BaseModel]) -> str:
    path, root, tree, origins = source
    location, node = _follow(tree, root, problem["loc"])
    kind, key = problem["type"], ".".join(map(str, location))
    if kind == "extra_forbidden":
        known = _known_keys(model, location[:-1], tree)
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        what = "unknown key" + (f"; did you mean {near[0]!r}?" if near else "")
    elif kind == "missing":
        what = "is missing"
    else:
        found = problem["input"]
        shown = "" if isinstance(found, dict | list | BaseModel) else f", found {found!r}"
        what = problem["msg"].removeprefix("Value error, ") + shown
    where = _origin(location, origins)
    if where is None:
        line = node.start_mark.line + 1 if node is not None and node.start_mark else 1
        where = f"{path}:{line}" if path is not None else "configuration"
    return f"{where}: {key or 'the configuration'}: {what}"


def _follow(tree: Any, node: Any, loc: Location) -> tuple[Location, yaml.Node | None]:
    """The keys of `loc` that stand in the file, and the node of the last one found.

    pydantic puts names of union members into its locations; those are passed over.
    """
    found: list[str | int] = []
    for step, part in enumerate(loc):
        inside = isinstance(tree, dict) and part in tree
        inside = inside or (isinstance(tree, list) and isinstance(part, int) and part < len(tree))
        if inside:
            found.append(part)
            tree, node = tree[part], _child(node, part)
        elif step == len(loc) - 1 and isinstance(tree, dict):
            found.append(part)
    return tuple(found), node


def _child(node: Any, part: str | int) -> Any:
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part]
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                # The key's line is what a reader looks for; scalars share it, blocks begin below.
                value.start_mark = key.start_mark
                return value
    return node


def _origin(location: Location, origins: dict[Location, str]) -> str | None:
    for name, setting in origins.items():
        if location[: len(name)] == name or name[: len(location)] == location != ():
            return setting
    return None


def _known_keys(model: type[BaseModel], parents: Location, tree: Any) -> list[str]:
    """Keys that would be allowed below `parents`."""
    candidates: list[type[BaseModel]] = [model]
    for parent in parents:
        tree = tree[parent] if isinstance(tree, dict) or isinstance(parent, int) else None
        if isinstance(parent, int):
            continue
        annotations = [
            m.model_fields[str(parent)].annotation
            for m in candidates
            if str(parent) in m.model_fields
        ]
        candidates = [found for a in annotations for found in _models_in(a)]
    if isinstance(tree, dict) and len(candidates) > 1:
        candidates = [m for m in candidates if _is_chosen(m, tree)] or candidates
    return sorted({name for m in candidates for name in m.model_fields})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for arg in getattr(annotation, "__args__", ()) for found in _models_in(arg)]


def _is_chosen(model: type[BaseModel], tree: dict[str, Any]) -> bool:
    """Whether a member of a discriminated union is the one that `tree` names."""
    return any(
        tree.get(name) in getattr(field.annotation, "__args__", ())
        for name, field in model.model_fields.items()
        if name in ("kind", "name")
    )
