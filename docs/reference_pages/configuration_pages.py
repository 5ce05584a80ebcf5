"""The pages of the configuration files, and their JSON Schemas, from the models that read them."""

from __future__ import annotations

import inspect
import json
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import yaml
from griffe import Docstring, DocstringSectionKind
from pydantic import BaseModel

from edge.panel.config import PanelConfig
from edge.station.config import LineConfig
from inspection.config.loading import json_schema
from inspection.layout.layout_file import LayoutConfig
from training.config import TrainConfig


class Kind(NamedTuple):
    """A kind of configuration file: name of its page, its title, its model, who reads it."""

    name: str
    title: str
    model: type[BaseModel]
    reader: str


KINDS = (
    Kind("line", "Configuration of a line", LineConfig, "`linewarden run --config FILE`"),
    Kind("layout", "Zones and alignment", LayoutConfig, "`linewarden calibrate --layout FILE`"),
    Kind("panel", "Configuration of the panel", PanelConfig, "`linewarden panel --config FILE`"),
    Kind("train", "Training", TrainConfig, "`linewarden train --config FILE`"),
)


class Section(NamedTuple):
    """A group of keys: where it stands in the file, and the model that reads it."""

    place: str
    model: type[BaseModel]


def schema(kind: Kind) -> str:
    """Returns the JSON Schema of such files."""
    return json.dumps(json_schema(kind.model), indent=2) + "\n"


def page(kind: Kind) -> str:
    """Returns the reference page of such files, in Markdown."""
    sections = list(_sections(kind.model, "", set()))
    anchors = {name: _anchor(section) for section in sections for name in _names(section.model)}
    schema_file = f"{kind.name}.schema.json"
    head = (
        f"Read by {kind.reader}. An unknown key is refused with its line. Editors that know YAML"
        f" schemas check a file with [{schema_file}]({schema_file}): begin it"
        f" with `# yaml-language-server: $schema={schema_file}`."
    )
    texts = (_section(section, anchors) for section in sections)
    return "\n\n".join([f"# {kind.title}", head, *texts]) + "\n"


def _sections(model: type[BaseModel], place: str, seen: set[type]) -> Iterator[Section]:
    if model in seen:
        return
    seen.add(model)
    yield Section(place, model)
    for key, field in model.model_fields.items():
        for below in _models(field.annotation):
            yield from _sections(below, _below(place, key, below), seen)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models(argument)


def _below(place: str, key: str, model: type[BaseModel]) -> str:
    path = f"{place.partition(' ')[0]}.{key}".lstrip(".")
    for word in ("kind", "name"):  # the keys that say which of several models reads a section
        field = model.model_fields.get(word)
        names = typing.get_args(field.annotation) if field else ()
        if len(names) == 1:
            return f"{path} ({word}: {names[0]})"
    return path


def _anchor(section: Section) -> str:
    words = re.findall(r"[a-z0-9]+", section.place.lower())
    return "-".join(words) or "top"


def _names(model: type[BaseModel]) -> tuple[str, str]:
    """Returns the names that a schema may have for `model`: the long one where two are alike."""
    long = f"{model.__module__}.{model.__qualname__}".replace(".", "__")
    return model.__name__, long


def _section(section: Section, anchors: Mapping[str, str]) -> str:
    described = json_schema(section.model)
    meanings = _meanings(section.model)
    required = described.get("required", [])
    lines = [
        f"## {section.place or 'Top level'} {{#{_anchor(section)}}}",
        "",
        _summary(section.model),
        "",
        "| key | value | default | meaning |",
        "|---|---|---|---|",
    ]
    for key, node in described.get("properties", {}).items():
        value = _value(node, described.get("$defs", {}), anchors)
        default = "required" if key in required else _default(node)
        cells = (f"`{key}`", value, default, meanings.get(key, ""))
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines)


def _summary(model: type[BaseModel]) -> str:
    first = inspect.cleandoc(model.__doc__ or "").partition("\n\n")[0]
    return " ".join(first.split())


def _meanings(model: type[BaseModel]) -> dict[str, str]:
    """Returns what the docstrings of `model` and of those it inherits from say of each key."""
    found: dict[str, str] = {}
    for one in reversed(model.__mro__):
        if not issubclass(one, BaseModel) or one is BaseModel:
            continue
        for part in Docstring(inspect.cleandoc(one.__doc__ or "")).parse("google"):
            if part.kind is DocstringSectionKind.attributes:
                found |= {each.name: " ".join(each.description.split()) for each in part.value}
    return found


def _default(node: Mapping[str, Any]) -> str:
    if "default" not in node:
        return "empty"
    value = node["default"]
    if isinstance(value, dict):
        return "its defaults"
    text = yaml.safe_dump(value, default_flow_style=True, width=1000)
    return f"`{text.removesuffix('...' + chr(10)).strip()}`"


def _value(node: Mapping[str, Any], known: Mapping[str, Any], anchors: Mapping[str, str]) -> str:
    """Returns what a key takes, in words; `known` are the definitions of the schema."""

    def inner(below: Mapping[str, Any]) -> str:
        return _value(below, known, anchors)

    match node:
        case {"$ref": ref}:
            name = ref.rpartition("/")[2]
            text = f"[section](#{anchors[name]})" if name in anchors else inner(known[name])
        case {"const": value}:
            text = f"`{value}`"
        case {"enum": values}:
            text = ", ".join(f"`{value}`" for value in values)
        case {"discriminator": {"propertyName": word, "mapping": kinds}}:
            links = (f"[{kind}](#{anchors[ref.rpartition('/')[2]]})" for kind, ref in kinds.items())
            text = f"section with `{word}`: {', '.join(links)}"
        case {"anyOf": choices} | {"oneOf": choices}:
            text = ", or ".join(inner(choice) for choice in choices)
        case _:
            text = _plain(node, inner)
    return text


def _plain(node: Mapping[str, Any], inner: Callable[[Mapping[str, Any]], str]) -> str:
    match node:
        case {"type": "array", "prefixItems": members}:
            text = f"list: {'; '.join(inner(member) for member in members)}"
        case {"type": "array"}:
            text = f"list of: {inner(node.get('items', {}))}"
        case {"type": "object", "additionalProperties": dict(below)}:
            text = f"names, each with: {inner(below)}"
        case {"type": "object", "patternProperties": patterns}:
            text = f"names, each with: {inner(next(iter(patterns.values())))}"
        case {"type": "string", "format": "path"}:
            text = "path"
        case {"type": "null"}:
            text = "`null`"
        case _:
            text = ", ".join([str(node.get("type", "any value")), *_limits(node)])
    return text


def _limits(node: Mapping[str, Any]) -> Iterator[str]:
    words = {
        "minimum": "from {}",
        "exclusiveMinimum": "above {}",
        "maximum": "to {}",
        "exclusiveMaximum": "below {}",
    }
    for key, text in words.items():
        if key in node:
            yield text.format(f"{node[key]:g}")
