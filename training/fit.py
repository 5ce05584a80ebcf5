"""Training of a model on good parts: from a configuration to a finished run folder."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import torch

from inspection.errors import CameraError, ConfigError, LinewardenError, named
from inspection.preprocess import Preprocessing
from training.checkpoint import (
    RUN,
    Fitting,
    HeldOut,
    Progress,
    RunRecord,
    Task,
    build_model,
    load_state,
    make_run_folder,
    save_run,
    save_state,
)
from training.closed_form import (
    KEPT_BYTES,
    Views,
    learn_images,
    refuse_no_hold_out,
    refuse_unused_settings,
)
from training.config import TrainConfig
from training.data.data_set import DataSet, Sample
from training.data.layout import read_data_set
from training.data.order import Balanced, Draw, GoodOnly, batches
from training.data.samples import SampleReader
from training.data.survey import (
    Split,
    SurveyedSample,
    data_sha256,
    frame_ranges,
    split_good,
    survey,
)
from training.evidence_record import Evidence
from training.features import FeatureSource, keep_freed_memory
from training.models.base import AnomalyModel, ClosedFormModel, DataFacts
from training.screening import Screening, screen
from training.workers import Steps, Workers

Report = Callable[[Progress, int, dict[str, float]], None]


class DivergedError(LinewardenError):
    """The loss became infinite or not a number."""


@dataclass(frozen=True)
class TrainingData:
    """Surveyed samples of one training, the good ones first."""

    split: Split
    defective: tuple[SurveyedSample, ...]
    preprocessing: Preprocessing

    @property
    def fitted(self) -> tuple[SurveyedSample, ...]:
        """Returns the training samples in index order."""
        return self.split.fit + self.defective

    @property
    def sha256(self) -> str:
        """Returns a hash of the training images and their labels, in this order."""
        lines = (f"{s.sha256} {s.sample.is_good} {s.sample.mask is None}\n" for s in self.fitted)
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def fit(
    config: TrainConfig,
    folder: Path,
    report: Report | None = None,
    evidence: Evidence | None = None,
) -> RunRecord:
    """Trains as `config` says and writes the run to `folder`; resumes an earlier, unfinished call.

    Args:
        report: called after each epoch with progress, number of epochs and mean losses.
        evidence: the comparison that chose this training, for its record.

    Raises:
        CameraError: the data set is unusable.
        ConfigError: `folder` holds a finished run or cannot be made, the device is not here, or the
            model cannot use a setting.
        BundleError: `folder` cannot be written to, or holds the state of another training.
        DivergedError: a loss or a weight is not finite.
    """
    if (folder / RUN).exists():
        raise ConfigError(f"{folder}: holds a finished run; choose another folder, or remove it")
    data_set = read_data_set(config.data.folder)
    keep_freed_memory()
    workers = Workers(config.fit)
    _be_deterministic(config.fit.device, config.fit.seed)
    model = _new_model(config)
    data = survey_data(data_set, config, model)
    make_run_folder(folder)
    reader = _reader(data.fitted, model, config, data)
    screening = Screening()
    if isinstance(model, ClosedFormModel):
        progress, screening = _fit_at_once(model, reader, workers, config=config, data=data)
        losses: dict[str, float] = {}
    else:
        progress, losses = _fit_by_steps(
            model, reader, workers, config=config, data=data, folder=folder, report=report
        )
    _refuse_infinite_weights(model)
    record = _run_record(config, data_set, data, progress, losses)
    left_out = _left_out(data_set, data, model, config)
    record["doubts"] = (*data_set.doubts, *left_out, *model.doubts(losses), *screening.doubts)
    record["evidence"] = evidence
    learnt = (sample.sha256 for sample in data.fitted)
    record["screened"] = dict(zip(learnt, screening.scores, strict=False))
    if workers.is_first:
        screening.save(folder)
    finished = save_run(folder, model.eval(), record, write=workers.is_first)
    workers.wait()
    return finished


def _new_model(config: TrainConfig) -> AnomalyModel:
    """Builds the model, and refuses settings of the data or the fit that it cannot use."""
    model = build_model(config)
    if isinstance(model, ClosedFormModel):
        refuse_unused_settings(config)
    else:
        refuse_no_hold_out(config)
    return model


def _reader(
    samples: Sequence[SurveyedSample], model: AnomalyModel, config: TrainConfig, data: TrainingData
) -> SampleReader:
    return SampleReader(
        samples,
        data.preprocessing,
        model.annotation,
        config.data.augment,
        config.fit.cache_max_bytes,
    )


def _fit_at_once(
    model: ClosedFormModel,
    reader: SampleReader,
    workers: Workers,
    *,
    config: TrainConfig,
    data: TrainingData,
) -> tuple[Progress, Screening]:
    """Learns all images once, and screens them where calibration will not.

    Every process learns all of them: there is nothing to share.
    """
    started = time.monotonic()
    workers.place(model)
    views = Views(model, reader, workers.device, KEPT_BYTES)
    learn_images(model, views)
    screening = Screening()
    if data.split.held_out:
        held_out = _reader(data.split.held_out, model, config, data)
        screening = screen(model, views, lambda: Views(model, held_out, workers.device, 0))
    return Progress(0, 0, time.monotonic() - started), screening


def _fit_by_steps(
    model: AnomalyModel,
    reader: SampleReader,
    workers: Workers,
    *,
    config: TrainConfig,
    data: TrainingData,
    folder: Path,
    report: Report | None,
) -> tuple[Progress, dict[str, float]]:
    """Takes optimisation steps for all epochs."""
    started = time.monotonic()
    most = config.fit.cache_max_bytes
    source = FeatureSource(workers.place(model), reader, workers.device, most)
    model.prepare(_data_facts(data), source.all_good)
    before_steps = time.monotonic() - started
    good, defective = len(data.split.fit), len(data.defective)
    order = Balanced(good, defective) if defective else GoodOnly(good)
    optimisation = model.optimisation(_Length(config, len(order)).epochs)
    fitting = Fitting(model, order, optimisation)
    states = _ResumeStates(Task(config, data.sha256), folder, fitting, workers)
    progress, losses = _fit_epochs(states, source, workers, report)
    model.finish(source.all_good)
    return progress._replace(seconds=before_steps + progress.seconds), losses


def _be_deterministic(device: str, seed: int) -> None:
    """Makes a training give the same weights each time on the same machine."""
    torch.manual_seed(seed)
    # Without it cuBLAS sums in any order. It reads the variable at its first product on a device.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(mode=True, warn_only=device != "cpu")


def survey_data(data_set: DataSet, config: TrainConfig, model: AnomalyModel) -> TrainingData:
    """Reads and checks the files of this training, and divides the good ones."""
    defective = tuple(sample for sample in data_set.defective if _is_learnt(sample, model))
    if model.learns_defects and not defective:
        raise CameraError(
            f"{config.data.folder}: supervised training needs real defects in train/<defect> "
            "(masks in ground_truth/<defect>), and finds none"
        )
    found = survey([*data_set.good, *defective], config.data.window)
    good = [s for s in found[: len(data_set.good)] if s.sha256 not in config.data.without]
    bad = found[len(data_set.good) :]
    surveyed = [*good, *bad]
    if not good:
        raise CameraError(f"{config.data.folder}: data.without leaves no good image")
    heights, widths = frame_ranges(surveyed, config.data.frame_height, config.data.frame_width)
    split = split_good(
        good, hold_out=config.data.hold_out, seed=config.fit.seed, part_of=config.data.part_of
    )
    preprocessing = Preprocessing(
        frame_height=heights,
        frame_width=widths,
        channels=1 if surveyed[0].channels == 1 else 3,
        window=config.data.window,
        crop=config.data.crop,
        height=config.data.image_size[0],
        width=config.data.image_size[1],
    )
    return TrainingData(split, tuple(bad), preprocessing)


def _left_out(
    data_set: DataSet, data: TrainingData, model: AnomalyModel, config: TrainConfig
) -> list[str]:
    """Tells the training images that this training leaves out."""
    defective = [str(s.path) for s in data_set.defective if not _is_learnt(s, model)]
    repeated = list(map(str, data.split.duplicates))
    why = "have no mask" if model.learns_defects else "are not for a model of good parts"
    groups = {
        "good training images are left out by hand": list(config.data.without.values()),
        f"defective training images {why} and are not learnt": defective,
        "good training images repeat another and are learnt once": repeated,
        "good images are copies of another to the last pixel and count as other parts, so that "
        "the threshold promises too much; remove them": _copies(data.split),
    }
    return [f"{len(paths)} {what}: {named(paths)}" for what, paths in groups.items() if paths]


def _copies(split: Split) -> list[str]:
    """Names the files whose picture another file has too: of another format, say."""
    first: dict[str, SurveyedSample] = {}
    images = (*split.fit, *split.held_out)
    return [str(s.sample.path) for s in images if first.setdefault(s.picture, s) is not s]


def _is_learnt(sample: Sample, model: AnomalyModel) -> bool:
    return model.learns_defects and (model.learns_unsegmented or sample.mask is not None)


class _ResumeStates:
    """The resume states of a training on disk."""

    def __init__(self, task: Task, folder: Path, fitting: Fitting, workers: Workers) -> None:
        self.task, self.fitting = task, fitting
        self._folder, self._writes = folder, workers.is_first
        self._saved = time.monotonic()

    def load(self) -> Progress:
        return load_state(self._folder, self.task, self.fitting) or Progress(0, 0, 0.0)

    def save(self, progress: Progress) -> None:
        """Writes a state when it is time for one."""
        if self._writes and time.monotonic() - self._saved >= self.task.config.fit.save_every_s:
            save_state(self._folder, self.task, self.fitting, progress)
            self._saved = time.monotonic()


def _fit_epochs(
    states: _ResumeStates, source: FeatureSource, workers: Workers, report: Report | None
) -> tuple[Progress, dict[str, float]]:
    model, order, optimisation = states.fitting
    config = states.task.config
    length = _Length(config, len(order))
    progress = states.load()
    epochs = length.planned_at(progress.epoch)
    started = time.monotonic() - progress.seconds
    losses: dict[str, float] = {}
    model.train()
    steps = workers.steps(model, optimisation)
    while progress.epoch < epochs:
        draw = order.epoch(workers.seed_epoch(progress.epoch))
        parts = [workers.share(part) for part in batches(draw, config.fit.batch_size)]
        losses = workers.mean(_fit_epoch(model, source, steps, parts))
        for schedule in optimisation.schedules:
            schedule.step()
        seconds = time.monotonic() - started
        progress = Progress(progress.epoch + 1, progress.steps + len(parts), seconds)
        if report is not None and workers.is_first:
            report(progress, epochs, losses)
        if progress.epoch == epochs and progress.steps < config.fit.maximum_steps:
            epochs += 0 if _has_learnt(model, source, losses) else length.more
        if progress.epoch < epochs:
            states.save(progress)
    return progress, losses


def _has_learnt(model: AnomalyModel, source: FeatureSource, losses: dict[str, float]) -> bool:
    model.finish(source.all_good)
    doubts = model.doubts(losses)
    model.train()
    return not doubts


def _fit_epoch(
    model: AnomalyModel, source: FeatureSource, steps: Steps, parts: Sequence[Draw]
) -> dict[str, float]:
    """Trains for one pass over the data; returns the mean of each loss term."""
    sums: dict[str, float] = {}
    for part in parts:
        features, targets = source.batch(part)
        for name, value in model.step(features, targets, steps).items():
            if not math.isfinite(value):
                raise DivergedError(
                    f"the loss {name} became {value}: train with another seed or a lower rate"
                )
            sums[name] = sums.get(name, 0.0) + value
    return {name: value / len(parts) for name, value in sums.items()}


def _refuse_infinite_weights(model: AnomalyModel) -> None:
    """Raises DivergedError for infinite weights: the losses do not show the last step."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise DivergedError(
                f"{name} has values that are not finite after the last step: train with another "
                "seed or a lower learning rate"
            )


class _Length:
    """Number of epochs of a training.

    Attributes:
        epochs: without any doubt of the model.
        more: epochs to add at a time for a model that has not learnt.
    """

    def __init__(self, config: TrainConfig, samples: int) -> None:
        steps_per_epoch = math.ceil(samples / config.fit.batch_size)
        least = math.ceil(config.fit.minimum_steps / steps_per_epoch)
        self.epochs = max(config.fit.epochs, least)
        self.more = math.ceil(self.epochs / 4)

    def planned_at(self, epoch: int) -> int:
        """Returns the number of epochs that a training plans which goes on behind `epoch`.

        Only a training that goes on writes a state, so that one at the end of its plan has added
        the next epochs already.
        """
        if epoch < self.epochs:
            return self.epochs
        return self.epochs + ((epoch - self.epochs) // self.more + 1) * self.more


def _data_facts(data: TrainingData) -> DataFacts:
    segmented = sum(sample.sample.mask is not None for sample in data.defective)
    return DataFacts(len(data.split.fit), len(data.defective), segmented)


def _run_record(
    config: TrainConfig,
    data_set: DataSet,
    data: TrainingData,
    progress: Progress,
    losses: dict[str, float],
) -> dict[str, object]:
    held_out, good = (
        tuple(HeldOut(path=s.sample.path.resolve(), sha256=s.sha256) for s in samples)
        for samples in (data.split.held_out, data.split.fit)
    )
    return {
        "name": data_set.name,
        "created_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "linewarden_version": version("linewarden"),
        "config": config,
        "preprocessing": data.preprocessing,
        "data_sha256": data_sha256(sample.sha256 for sample in data.fitted),
        "fitted_sha256": tuple(sample.sha256 for sample in data.fitted),
        "held_out": held_out,
        "judged_in_turn": () if held_out else good,
        "epochs": progress.epoch,
        "steps": progress.steps,
        "seconds": round(progress.seconds, 3),
        "losses": losses,
    }
