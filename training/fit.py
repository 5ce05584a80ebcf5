"""Fitting a model to good parts: from a configuration to a finished run folder."""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

from edge.errors import CameraError, ConfigError, LinewardenError
from edge.preprocess import Preprocessing
from training.checkpoint import (
    RUN,
    Fitting,
    HeldOut,
    Progress,
    RunRecord,
    build_model,
    load_state,
    save_run,
    save_state,
)
from training.config import TrainConfig
from training.data.layout import DataSet, read_data_set
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
from training.models.base import AnomalyModel, DataFacts, Features, Targets

Report = Callable[[Progress, int, dict[str, float]], None]
_EXTRACT_BATCH = 8
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc, malloc.h
_LARGEST_BLOCK = 1 << 30


class DivergedError(LinewardenError):
    """The loss became infinite or not a number."""


@dataclass(frozen=True)
class TrainingData:
    """Surveyed samples of one training: good ones first, then defective ones."""

    split: Split
    defective: tuple[SurveyedSample, ...]
    preprocessing: Preprocessing

    @property
    def fitted(self) -> tuple[SurveyedSample, ...]:
        """Samples that are learnt from, in index order."""
        return self.split.fit + self.defective


def fit(config: TrainConfig, folder: Path, report: Report | None = None) -> RunRecord:
    """Train as `config` says and write the run to `folder`, resuming what an earlier call left.

    Args:
        report: called after each epoch with the progress, the number of epochs and mean losses.

    Raises:
        CameraError: the data set is unusable.
        ConfigError: `folder` holds a finished run, or the data has no defect to be supervised by.
        BundleError: `folder` holds the state of another configuration.
        DivergedError: a loss is not finite.
    """
    if (folder / RUN).exists():
        raise ConfigError(f"{folder}: holds a finished run; choose another folder, or remove it")
    data_set = read_data_set(config.data.folder)
    keep_freed_memory()
    torch.manual_seed(config.fit.seed)
    torch.use_deterministic_algorithms(mode=True, warn_only=config.fit.device != "cpu")
    model = build_model(config)
    data = survey_data(data_set, config, model)
    folder.mkdir(parents=True, exist_ok=True)
    reader = SampleReader(
        data.fitted, data.preprocessing, model.annotation, config.fit.cache_max_bytes
    )
    source = _FeatureSource(model.to(config.fit.device), reader, config)
    model.prepare(_facts(data), source.all_good)
    good, defective = len(data.split.fit), len(data.defective)
    order = Balanced(good, defective) if defective else GoodOnly(good)
    by = model.optimisation(_epochs(config, len(order)))
    fitting = Fitting(model, order, by)
    progress, losses = _fit_epochs(config, folder, fitting, source, report)
    model.finish(source.all_good)
    record = _record(config, data_set, data, progress, losses)
    return save_run(folder, model.eval(), {**record, "doubts": tuple(model.doubts(losses))})


def survey_data(data_set: DataSet, config: TrainConfig, model: AnomalyModel) -> TrainingData:
    """Read and check the files that this training uses, and divide the good ones."""
    defective = data_set.defective if model.learns_defects else ()
    if not model.learns_unsegmented:
        defective = tuple(sample for sample in defective if sample.mask is not None)
    if model.learns_defects and not defective:
        raise CameraError(
            f"{config.data.folder}: supervised training needs real defects in train/<defect> "
            "(masks in ground_truth/<defect>), and there are none"
        )
    surveyed = survey([*data_set.good, *defective])
    heights, widths = frame_ranges(surveyed, config.data.frame_height, config.data.frame_width)
    good, bad = surveyed[: len(data_set.good)], surveyed[len(data_set.good) :]
    split = split_good(good, hold_out=config.data.hold_out, seed=config.fit.seed)
    preprocessing = Preprocessing(
        frame_height=heights,
        frame_width=widths,
        channels=1 if surveyed[0].channels == 1 else 3,
        crop=config.data.crop,
        height=config.data.image_size[0],
        width=config.data.image_size[1],
    )
    return TrainingData(split, tuple(bad), preprocessing)


def _fit_epochs(
    config: TrainConfig,
    folder: Path,
    fitting: Fitting,
    source: _FeatureSource,
    report: Report | None,
) -> tuple[Progress, dict[str, float]]:
    epochs = _epochs(config, len(fitting.order))
    progress = load_state(folder, config, fitting) or Progress(0, 0, 0.0)
    started = time.monotonic() - progress.seconds
    saved = time.monotonic()
    losses: dict[str, float] = {}
    fitting.model.train()
    while progress.epoch < epochs:
        parts = list(batches(fitting.order.epoch(), config.fit.batch_size))
        losses = _fit_epoch(fitting, source, parts)
        seconds = time.monotonic() - started
        progress = Progress(progress.epoch + 1, progress.steps + len(parts), seconds)
        if report is not None:
            report(progress, epochs, losses)
        if time.monotonic() - saved >= config.fit.save_every_s and progress.epoch < epochs:
            save_state(folder, config, fitting, progress)
            saved = time.monotonic()
    return progress, losses


def _fit_epoch(fitting: Fitting, source: _FeatureSource, parts: Sequence[Draw]) -> dict[str, float]:
    """One pass; returns the mean of each loss term."""
    model, _, by = fitting
    sums: dict[str, float] = {}
    for part in parts:
        features, targets = source.batch(part)
        for name, value in model.step(features, targets, by).items():
            if not math.isfinite(value):
                raise DivergedError(
                    f"the loss {name} became {value}: train with another seed or a lower rate"
                )
            sums[name] = sums.get(name, 0.0) + value
    for schedule in by.schedules:
        schedule.step()
    return {name: value / len(parts) for name, value in sums.items()}


class _FeatureSource:
    """Features of samples: from memory when the model allows it and they fit, else new."""

    def __init__(self, model: AnomalyModel, reader: SampleReader, config: TrainConfig) -> None:
        self._model, self._reader = model, reader
        self._device = torch.device(config.fit.device)
        self._kept: list[Tensor] | None = None
        if model.cacheable and self._bytes() <= config.fit.cache_max_bytes:
            self._kept = self._extract_all()

    def batch(self, draw: Draw) -> tuple[Features, Targets]:
        indices = [index for index, _ in draw]
        flips = [flip for _, flip in draw]
        targets = Targets(*(t.to(self._device) for t in self._reader.targets(indices, flips)))
        if self._kept is not None:
            return tuple(layer[indices].to(self._device) for layer in self._kept), targets
        return self._model.extract(self._reader.images(indices, flips).to(self._device)), targets

    def all_good(self) -> Iterator[Features]:
        good = [i for i, sample in enumerate(self._reader.samples) if sample.sample.is_good]
        for part in batches([(index, 0) for index in good], _EXTRACT_BATCH):
            yield self.batch(part)[0]

    def _bytes(self) -> int:
        one = self._model.extract(self._reader.images([0]).to(self._device))
        return len(self._reader) * sum(layer.numel() * layer.element_size() for layer in one)

    def _extract_all(self) -> list[Tensor]:
        everything = range(len(self._reader))
        parts = [everything[i : i + _EXTRACT_BATCH] for i in everything[::_EXTRACT_BATCH]]
        extracted = [
            self._model.extract(self._reader.images(part).to(self._device)) for part in parts
        ]
        return [torch.cat(layers).cpu() for layers in zip(*extracted, strict=True)]


def keep_freed_memory() -> None:
    """Let the C library reuse freed blocks instead of returning them to the kernel.

    A step allocates and frees tensors of tens of megabytes; faulting their pages in anew each time
    takes half of the time of a step on a CPU (tests/bench/bench_training.py).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK)
        mallopt(_M_TRIM_THRESHOLD, _LARGEST_BLOCK)


def _epochs(config: TrainConfig, samples: int) -> int:
    steps_per_epoch = math.ceil(samples / config.fit.batch_size)
    return max(config.fit.epochs, math.ceil(config.fit.minimum_steps / steps_per_epoch))


def _facts(data: TrainingData) -> DataFacts:
    segmented = sum(sample.sample.mask is not None for sample in data.defective)
    return DataFacts(len(data.split.fit), len(data.defective), segmented)


def _record(
    config: TrainConfig,
    data_set: DataSet,
    data: TrainingData,
    progress: Progress,
    losses: dict[str, float],
) -> dict[str, object]:
    held_out = tuple(
        HeldOut(path=sample.sample.path.resolve(), sha256=sample.sha256)
        for sample in data.split.held_out
    )
    return {
        "name": data_set.name,
        "created_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "linewarden_version": version("linewarden"),
        "config": config,
        "preprocessing": data.preprocessing,
        "data_sha256": data_sha256(data.fitted),
        "fitted_sha256": tuple(sample.sha256 for sample in data.fitted),
        "held_out": held_out,
        "epochs": progress.epoch,
        "steps": progress.steps,
        "seconds": round(progress.seconds, 3),
        "losses": losses,
    }
