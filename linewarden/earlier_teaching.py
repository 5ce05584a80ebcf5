"""What an earlier call of `teach` left in the run folder, for the same call to go on with.

Every step looks there for its result, so that an interrupted call goes on when it is repeated. A
call with other options or other images would get the old model under a new name: it is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from inspection.config.loading import dump_yaml, load_config
from inspection.errors import ConfigError, named
from inspection.files import sha256_of, write_text
from inspection.names import printable
from inspection.trust.sealed import Sha256
from training.checkpoint import RUN, RunRecord, load_run
from training.data.data_set import DataSet
from training.data.survey import data_sha256
from training.teaching import Plan

PLAN = "teach.yaml"


class KeptPlan(Plan):
    """The plan of a call, and what the call was asked.

    Attributes:
        options: the given ones that the plan comes from, by name.
        images_sha256: over the good images, without those left out; None in a file of an earlier
            version.
    """

    options: dict[str, Any] = Field(default_factory=dict)
    images_sha256: Sha256 | None = None


@dataclass(frozen=True)
class Asked:
    """What a call is asked.

    Attributes:
        options: see `KeptPlan`.
        without: names of the good images to leave out, by SHA-256.
        folder: place of the data set.
        images: the data set.
    """

    options: Mapping[str, Any]
    without: Mapping[str, str]
    folder: Path
    images: DataSet


def keep_plan(run_folder: Path, plan: Plan, asked: Asked, hashes: Iterable[str]) -> None:
    """Writes the plan into the run folder.

    Args:
        hashes: SHA-256 of the good images, without those left out.
    """
    kept = KeptPlan(
        config=plan.config,
        evidence=plan.evidence,
        options=dict(asked.options),
        images_sha256=data_sha256(frozenset(hashes)),
    )
    run_folder.mkdir(parents=True, exist_ok=True)
    write_text(run_folder / PLAN, dump_yaml(kept))


def plan_of_earlier_call(run_folder: Path, asked: Asked) -> Plan | None:
    """Returns the plan of an earlier call that was asked the same; None without any.

    It reads the images in the folder of this call: they are those of the plan.

    Raises:
        ConfigError: the earlier call was asked something else; the message names all of it.
    """
    if not (run_folder / PLAN).exists():
        return None
    plan = load_config(run_folder / PLAN, KeptPlan)
    _refuse_other(
        run_folder,
        asked,
        options=plan.options,
        without=plan.config.data.without,
        other_images=_images_other_than(plan.images_sha256, asked),
    )
    data = plan.config.data.model_copy(update={"folder": asked.folder})
    config = plan.config.model_copy(update={"data": data})
    return Plan(config=config, evidence=plan.evidence)


def is_taught(run_folder: Path, asked: Asked) -> bool:
    """Returns True for a finished run of an earlier call, or of `train`, with the same images.

    Raises:
        ConfigError: the run has other images or comes from other options; the message names all.
    """
    if not (run_folder / RUN).exists():
        return False
    kept = run_folder / PLAN
    options = load_config(kept, KeptPlan).options if kept.exists() else {}
    record, _ = load_run(run_folder)
    _refuse_other(
        run_folder,
        asked,
        options=options,
        without=record.config.data.without,
        other_images=_images_other_than_learnt(record, asked),
    )
    return True


def _refuse_other(
    run_folder: Path,
    asked: Asked,
    *,
    options: Mapping[str, Any],
    without: Mapping[str, str],
    other_images: Iterator[str],
) -> None:
    """Raises ConfigError for differences between the earlier call and this one.

    Args:
        other_images: read only when there is no other difference, for it reads every image.
    """
    problems = [*_other_options(options, asked.options), *_others_left_out(without, asked.without)]
    problems = problems or list(other_images)
    if problems:
        raise ConfigError(
            f"{run_folder}: is from an earlier call, and {'; '.join(problems)}: repeat that call "
            "to go on with it, or remove the folder to teach anew"
        )


def _other_options(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*then, *now}):
        if then.get(name) != now.get(name):
            yield f"--{name} {_said(now.get(name))}, where it {_said(then.get(name), 'was')}"


def _said(value: object, verb: str = "is") -> str:
    if value is None:
        return f"{verb} not given"
    words = value if isinstance(value, list) else [value]
    return f"{verb} {' '.join(map(str, words))}"


def _others_left_out(then: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    if used := [name for sha256, name in now.items() if sha256 not in then]:
        yield f"it has used {named(used)}"
    if left_out := [name for sha256, name in then.items() if sha256 not in now]:
        yield f"it has left out {named(left_out)}"


def _images_other_than(sha256: str | None, asked: Asked) -> Iterator[str]:
    if sha256 != data_sha256(_good_images(asked)):
        yield "the good images are not those of that call"


def _images_other_than_learnt(record: RunRecord, asked: Asked) -> Iterator[str]:
    good = _good_images(asked)
    learnt = {*record.fitted_sha256, *(file.sha256 for file in record.held_out)}
    if new := [name for sha256, name in good.items() if sha256 not in learnt]:
        yield f"{len(new)} good images are new ({named(new)})"
    defective = {sha256_of(sample.path) for sample in asked.images.defective}
    if gone := learnt - good.keys() - defective:
        yield f"{len(gone)} of its images are not in the folder"


def _good_images(asked: Asked) -> dict[str, str]:
    """Returns the names of the good images by SHA-256, without those left out."""
    paths = {sha256_of(sample.path): sample.path for sample in asked.images.good}
    return {
        sha256: printable(path.name)
        for sha256, path in paths.items()
        if sha256 not in asked.without
    }
