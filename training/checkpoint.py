"""The folder of a training run, and the state from which a training resumes.

::

    RUN/
      run.json              typed configuration, data, hashes; written last, it completes the run
      model.safetensors     all weights, with those of the frozen backbone
      resume.safetensors    only while training: model, optimisers, progress
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

import safetensors
import safetensors.torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from torch import Tensor

from inspection.config.loading import StrictModel
from inspection.errors import BundleError, ConfigError, named
from inspection.files import sha256_of, utf8_path, write_bytes
from inspection.names import StoredPath
from inspection.preprocess import Preprocessing
from inspection.trust.sealed import Sha256
from training.config import TrainConfig
from training.data.order import Order
from training.evidence_record import Evidence
from training.models import model_module
from training.models.base import AnomalyModel, Optimisation
from training.screening import SHEET

RUN, WEIGHTS, RESUME = "run.json", "model.safetensors", "resume.safetensors"


class HeldOut(StrictModel):
    """A good image for the calibration."""

    path: StoredPath
    sha256: Sha256


class RunRecord(StrictModel):
    """Record of a training: its result and its data.

    Attributes:
        name: name of the data set.
        fitted_sha256: hashes of the training images.
        held_out: good images that the training did not use, for calibration and golden frames.
        judged_in_turn: the learnt good images, where none are held out: calibration judges each by
            a model without it.
        screened: score of learnt images, where some are held out, each by a model without it and
            a tenth of the others; see `training.screening`.
        added: folders with good images that came after the training.
        seconds: for images, features and steps; of an interrupted training without lost steps.
        losses: mean of each loss term over the last epoch.
        doubts: reasons against the use of this model.
        evidence: the comparison that chose the model; None when a person chose it.
    """

    schema_version: Literal[1] = 1
    name: str
    created_utc: str
    linewarden_version: str
    config: TrainConfig
    preprocessing: Preprocessing
    data_sha256: Sha256
    fitted_sha256: tuple[Sha256, ...]
    held_out: tuple[HeldOut, ...]
    judged_in_turn: tuple[HeldOut, ...] = ()
    screened: dict[Sha256, float] = Field(default_factory=dict)
    added: tuple[Path, ...] = ()
    epochs: int
    steps: int
    seconds: float
    losses: dict[str, float]
    doubts: tuple[str, ...] = ()
    evidence: Evidence | None = None
    weights_sha256: Sha256

    @property
    def for_calibration(self) -> tuple[HeldOut, ...]:
        """Returns the good images for calibration and for the golden frames of a bundle."""
        return self.held_out or self.judged_in_turn


class Fitting(NamedTuple):
    """The objects that change during a training."""

    model: AnomalyModel
    order: Order
    optimisation: Optimisation


class Task(NamedTuple):
    """The training that a state belongs to: its settings and its data.

    Attributes:
        data: a hash of the samples, their order and their labels.
    """

    config: TrainConfig
    data: str


class Progress(NamedTuple):
    """Progress of a training."""

    epoch: int
    steps: int
    seconds: float


def make_run_folder(folder: Path) -> None:
    """Makes the folder of a run unless it exists.

    Raises:
        ConfigError: the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{folder}: cannot be made ({error.strerror}); choose another folder for the run"
        ) from error


def refuse_other_folder(folder: Path) -> None:
    """Refuses a folder that holds other files than those of a run, such as images or a bundle.

    Raises:
        ConfigError: no file in `folder` is of a run, and it is not empty.
    """
    found = folder.iterdir() if folder.is_dir() else ()
    names = {path.name for path in found if not path.name.startswith(".")}
    if names and not names & {RUN, WEIGHTS, RESUME, SHEET}:
        raise ConfigError(
            f"{folder}: holds {named(sorted(names))}, and not a run; choose another folder"
        )


def save_run(
    folder: Path, model: AnomalyModel, record: dict[str, Any], *, write: bool = True
) -> RunRecord:
    """Writes the weights, then the record that completes the run, and deletes the resume state.

    Args:
        record: every field of `RunRecord` except `weights_sha256`.
        write: False in all processes of a training but the first.

    Raises:
        BundleError: `folder` cannot be written to.
    """
    tensors = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    weights = safetensors.torch.save(tensors)
    finished = RunRecord(**record, weights_sha256=hashlib.sha256(weights).hexdigest())
    if write:
        _write(folder / WEIGHTS, weights)
        _write(folder / RUN, finished.model_dump_json(indent=2).encode() + b"\n")
        (folder / RESUME).unlink(missing_ok=True)
    return finished


def load_run(folder: Path) -> tuple[RunRecord, AnomalyModel]:
    """Reads a finished run; the model is in eval mode, on the CPU.

    Raises:
        BundleError: the run is missing, unfinished or damaged.
    """
    if not (folder / RUN).is_file():
        state = (
            "is unfinished; train it again to resume"
            if (folder / RESUME).is_file()
            else ("does not hold a run; make one with: linewarden train DATA --out RUN")
        )
        raise BundleError(f"{folder}: {state}")
    try:
        record = RunRecord.model_validate_json((folder / RUN).read_bytes())
    except ValidationError as error:
        raise BundleError(f"{folder / RUN}: not a run record: {error}") from error
    weights = folder / WEIGHTS
    if not weights.is_file() or sha256_of(weights) != record.weights_sha256:
        raise BundleError(f"{weights}: missing, or not the weights of this run; train again")
    model = build_model(record.config, load_weights=False)
    try:
        with utf8_path(weights) as path:
            model.load_state_dict(safetensors.torch.load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise BundleError(
            f"{weights}: does not fit the model of its configuration; train again: {error}"
        ) from error
    return record, model.eval()


def build_model(config: TrainConfig, *, load_weights: bool = True) -> AnomalyModel:
    """Makes the model of a configuration."""
    model: AnomalyModel = model_module(config.model.name).Model(
        config.model, config.data.image_size, load_weights=load_weights
    )
    return model


def save_state(folder: Path, task: Task, fitting: Fitting, progress: Progress) -> None:
    """Writes atomically all that a resumed training needs for the same result.

    Raises:
        BundleError: `folder` cannot be written to.
    """
    model, order, optimisation = fitting
    tensors = {f"model/{key}": value for key, value in model.state_dict().items()}
    tensors["drawn"] = order.drawn
    notes: dict[str, Any] = {
        "config": task.config.model_dump(mode="json"),
        "data": task.data,
        "progress": progress,
    }
    for number, optimiser in enumerate(optimisation.optimisers):
        state = optimiser.state_dict()
        notes[f"optimiser/{number}"] = state["param_groups"]
        for parameter, values in state["state"].items():
            for key, value in values.items():
                tensors[f"optimiser/{number}/{parameter}/{key}"] = value
    notes["schedules"] = [
        {key: schedule.state_dict()[key] for key in ("last_epoch", "_step_count", "_last_lr")}
        for schedule in optimisation.schedules
    ]
    flat = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    metadata = {"notes": json.dumps(notes, default=list)}
    _write(folder / RESUME, safetensors.torch.save(flat, metadata=metadata))


def load_state(folder: Path, task: Task, fitting: Fitting) -> Progress | None:
    """Loads the state in `folder` into `fitting`; returns None when there is no state.

    Raises:
        BundleError: the state belongs to another configuration or other images, or is damaged.
    """
    path = folder / RESUME
    if not path.is_file():
        return None
    try:
        with utf8_path(path) as readable, safetensors.safe_open(readable, "pt") as file:
            notes = json.loads(file.metadata()["notes"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise BundleError(f"{path}: damaged ({error}); remove it to start again") from error
    current = {"config": task.config.model_dump(mode="json"), "data": task.data}
    for key, what in (("config", "another configuration"), ("data", "other images or labels")):
        if notes[key] != current[key]:
            raise BundleError(
                f"{path}: belongs to a training with {what}; resume with the original ones, "
                f"choose another --out, or remove {folder}"
            )
    model, order, optimisation = fitting
    try:
        model.load_state_dict(_entries_below(tensors, "model/"))
    except RuntimeError as error:
        raise BundleError(
            f"{path}: does not fit the model of its configuration; remove {folder} to start "
            f"again: {error}"
        ) from error
    for number, optimiser in enumerate(optimisation.optimisers):
        optimiser.load_state_dict(_optimiser_state(tensors, notes, number))
    for schedule, state in zip(optimisation.schedules, notes["schedules"], strict=True):
        schedule.load_state_dict(state)
    order.drawn = tensors["drawn"]
    return Progress(*notes["progress"])


def _optimiser_state(
    tensors: dict[str, Tensor], notes: dict[str, Any], number: int
) -> dict[str, Any]:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in _entries_below(tensors, f"optimiser/{number}/").items():
        parameter, _, name = key.partition("/")
        state.setdefault(int(parameter), {})[name] = value
    return {"state": state, "param_groups": notes[f"optimiser/{number}"]}


def _write(path: Path, content: bytes) -> None:
    try:
        write_bytes(path, content)
    except OSError as error:
        raise BundleError(
            f"{path}: cannot be written ({error.strerror}); make room and repeat the command, "
            "which resumes from the last written state, or choose another --out"
        ) from error


def _entries_below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
    }
