"""Reads YAML configurations strictly; every error names file, line and key.

All configurations are pydantic models that derive from `StrictModel`; `load_config` reads them. The
model decides the meaning of a plain word where YAML 1.1 would guess: `on` is true for a bool and
"on" for a string, `010` is ten, `1e-4` is a number, and keys are always strings.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ValidationError, ValidationInfo

from inspection.config.paths import plain_path, typed_path
from inspection.config.problems import problems_of, report
from inspection.config.strict import StrictModel
from inspection.config.yaml_source import CommandLineText, Dumper, Problem, data, lay_over, read
from inspection.errors import ConfigError
from inspection.names import StoredPath, path_of

__all__ = [
    "ConfigPath",
    "StrictModel",
    "dump_yaml",
    "json_schema",
    "load_config",
    "reads_files",
]

M = TypeVar("M", bound=BaseModel)


def _beside_the_file(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, str | Path) or not info.context or "folder" not in info.context:
        return value
    if isinstance(value, CommandLineText):
        return Path.cwd() / path_of(str(typed_path(value)))
    folder: Path = info.context["folder"]
    return folder / (path_of(str(plain_path(value))) if isinstance(value, str) else value)


ConfigPath = Annotated[StoredPath, BeforeValidator(_beside_the_file)]
"""A path relative to its configuration file; unchanged when no file is being loaded.

A text with `~` or a variable is refused, see `inspection.config.paths`; it may name any file, see
`inspection.names`.
"""


def reads_files(info: ValidationInfo) -> bool:
    """Returns whether a validator should look into the files that a configuration names."""
    return bool(info.context and info.context.get("files"))


def load_config(
    path: Path, model: type[M], overrides: Sequence[str] = (), *, files: bool = False
) -> M:
    """Reads a YAML file into a configuration model.

    Args:
        path: the file; an empty file gives the model's defaults.
        model: the model to fill.
        overrides: settings `a.b=value` of `--set`, which replace settings of the file. The value is
            YAML; a number as key is an index into a list. Later overrides win.
        files: look also into the files that it names, as certificates: for a line that is about to
            run. Without, it can be read on another machine, and for a line that must be made safe.

    Raises:
        ConfigError: the file cannot be read, is not a YAML mapping, or does not fit `model`. The
            message lists all problems, each with file and line or with its `--set`.
    """
    problems: list[Problem] = []
    root = read(path, problems)
    for override in overrides:
        lay_over(root, override, problems)
    context = {"folder": path.resolve().parent, "files": files}
    try:
        config = model.model_validate(data(root), context=context)
    except ValidationError as error:
        flawed = {problem.keys for problem in problems}
        found = problems_of(error, model, root)
        problems += [problem for problem in found if problem.keys not in flawed]
        raise ConfigError(report(problems)) from error
    if problems:
        raise ConfigError(report(problems))
    return config


def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Returns the JSON Schema (draft 2020-12) of files that `load_config` reads, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema()}


def dump_yaml(model: BaseModel) -> str:
    """Returns YAML that `load_config` reads back as an equal model, but for its hidden secrets."""
    values = model.model_dump(mode="json", by_alias=True)
    return yaml.dump(values, Dumper=Dumper, sort_keys=False, allow_unicode=True)
