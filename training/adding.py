"""Adding good images to a finished run, with the result of learning all of them from the start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from inspection.errors import CameraError, ConfigError, listed, named
from inspection.files import sha256_of
from inspection.images import Window
from training.checkpoint import HeldOut, RunRecord, build_model, load_run
from training.closed_form import KEPT_BYTES, Views, learn_images
from training.config import TrainConfig
from training.data.data_set import Sample
from training.data.layout import read_data_set
from training.data.samples import SampleReader
from training.data.survey import SurveyedSample, data_sha256, divide, frame_ranges, survey
from training.hold_out import hold_out_share
from training.models.base import ClosedFormModel
from training.screening import Screening, screen


@dataclass(frozen=True)
class Addition:
    """A run with more images.

    Attributes:
        model: on the CPU, in eval mode.
        record: for `save_run`.
        new: number of images that are new.
        known: files left out because the run has the same images already.
        screening: of the images that the model learns now, beside those learnt before.
    """

    model: ClosedFormModel
    record: dict[str, Any]
    new: int
    known: tuple[Path, ...]
    screening: Screening


def add_good_images(
    run: Path, folder: Path, without: Mapping[str, str] = MappingProxyType({})
) -> Addition:
    """Adds the good images of `folder` to the finished run in `run`, which stays as it is.

    The division into images to learn and images to hold out is the one that all images together
    have. Therefore a few images may change sides: the model forgets or learns them. A model that
    cannot forget learns all images again.

    Args:
        without: names of images to leave out, by SHA-256, now and in later additions.

    Raises:
        BundleError: the run is missing, unfinished or damaged.
        ConfigError: the model takes optimisation steps, or has learnt an image to leave out.
        CameraError: `folder` has nothing new or unusable images, or an image that changes sides is
            gone.
    """
    record, model = load_run(run)
    if not isinstance(model, ClosedFormModel):
        raise ConfigError(
            f"{run}: {record.config.model.name} is trained by optimisation steps, so that images "
            "cannot be added; teach or train again with all of them"
        )
    before = {*record.fitted_sha256, *(held.sha256 for held in record.held_out)}
    learnt_before = [name for sha256, name in without.items() if sha256 in before]
    if learnt_before:
        raise ConfigError(
            f"{run} has {named(learnt_before)} already; to leave it out teach again with --good, "
            "which takes seconds"
        )
    left_out = {**record.config.data.without, **without}
    coming_in = survey(read_data_set(folder).good, record.preprocessing.window)
    found = [sample for sample in coming_in if sample.sha256 not in left_out]
    new = {sample.sha256: sample for sample in found if sample.sha256 not in before}
    if not new:
        rest = f", or leaves them out by hand ({len(left_out)})" if left_out else ""
        raise CameraError(f"{folder}: {run} has all of its {len(found)} images already{rest}")
    _refuse_other_frames(list(new.values()), record)
    everything = before | new.keys()
    config = _for_more(record.config, len(everything), left_out)
    paths = {sha256: sample.sample.path for sha256, sample in new.items()}
    paths |= {file.sha256: file.path for file in record.for_calibration}
    parts = dict(zip(everything, everything, strict=True))
    if config.data.part_of is not None:
        paths |= _found_again([sha for sha in everything if sha not in paths], record)
        parts = {sha256: config.data.part_of(paths[sha256]) for sha256 in everything}
    fitted, held_out = divide(parts, hold_out=config.data.hold_out, seed=config.fit.seed)
    if not model.can_forget:
        model = _untaught(config, model)
    learnt = frozenset(record.fitted_sha256) if model.can_forget else frozenset[str]()
    leaving = [sha256 for sha256 in held_out if sha256 in learnt]
    coming = [sha256 for sha256 in fitted if sha256 not in learnt]
    paths |= _found_again([sha for sha in (*coming, *held_out) if sha not in paths], record)
    views = _views(model, [*leaving, *coming], paths, record)
    learn_images(model, views, removed=range(len(leaving)))
    stayed = learnt - frozenset(leaving)
    screened = {sha256: s for sha256, s in record.screened.items() if sha256 in stayed}
    screening = Screening()
    if held_out:
        screening = screen(
            model,
            views,
            lambda: _views(model, held_out, paths, record),
            first=len(leaving),
            known=list(screened.values()),
        )
    kept = {name: getattr(record, name) for name in RunRecord.model_fields}
    del kept["weights_sha256"]
    updated = {
        **kept,
        "fitted_sha256": fitted,
        "data_sha256": data_sha256(fitted),
        "config": config,
        "held_out": _files(held_out, paths),
        "judged_in_turn": () if held_out else _files(fitted, paths),
        "screened": screened | dict(zip(coming, screening.scores, strict=False)),
        "doubts": (*record.doubts, *screening.doubts),
        "added": (*record.added, folder.resolve()),
    }
    known = tuple(sample.sample.path for sample in found if sample.sha256 not in new)
    return Addition(model, updated, len(new), known, screening)


def _views(
    model: ClosedFormModel, hashes: Sequence[str], paths: dict[str, Path], record: RunRecord
) -> Views:
    reader = SampleReader(
        _read_again(hashes, paths, record.preprocessing.window),
        record.preprocessing,
        model.annotation,
        record.config.data.augment,
        max_bytes=0,
    )
    return Views(model, reader, torch.device("cpu"), KEPT_BYTES)


def _untaught(config: TrainConfig, taught: ClosedFormModel) -> ClosedFormModel:
    """Makes the model before it has learnt, as `fit` does, with the backbone that it has."""
    torch.manual_seed(config.fit.seed)
    model = build_model(config, load_weights=False)
    assert isinstance(model, ClosedFormModel)  # noqa: S101 - it was one when it was saved
    frozen = {k: v for k, v in taught.state_dict().items() if k.startswith("backbone.")}
    model.load_state_dict(frozen, strict=False)
    return model.eval()


def good_files(record: RunRecord) -> list[Path]:
    """Lists the good images in the folders that a run has learnt from.

    Raises:
        CameraError: a folder is gone, or does not hold a data set any longer.
    """
    folders = (record.config.data.folder, *record.added)
    return [sample.path for folder in folders for sample in read_data_set(folder).good]


def _for_more(config: TrainConfig, images: int, without: dict[str, str]) -> TrainConfig:
    """Returns the configuration for more images: few hold none out, and then they are many."""
    hold_out = config.data.hold_out or hold_out_share(images)
    data = config.data.model_copy(update={"hold_out": hold_out, "without": without})
    return config.model_copy(update={"data": data})


def _files(hashes: Sequence[str], paths: dict[str, Path]) -> tuple[HeldOut, ...]:
    return tuple(HeldOut(path=paths[sha256].resolve(), sha256=sha256) for sha256 in hashes)


def _refuse_other_frames(samples: Sequence[SurveyedSample], record: RunRecord) -> None:
    preprocessing = record.preprocessing
    frame_ranges(samples, preprocessing.frame_height, preprocessing.frame_width)
    grey = preprocessing.channels == 1
    odd = [s.sample.path for s in samples if (s.channels == 1) != grey]
    if odd:
        kind = "colour" if grey else "grey"
        problem = f"{len(odd)} images are {kind}, and those learnt before are not:"
        raise CameraError(listed(problem, [str(path) for path in odd]))


def _found_again(hashes: Sequence[str], record: RunRecord) -> dict[str, Path]:
    """Returns the files of images that the run has learnt, by hash."""
    if not hashes:
        return {}
    wanted = frozenset(hashes)
    found = {digest: p for p in good_files(record) if (digest := sha256_of(p)) in wanted}
    missing = len(wanted) - len(found)
    if missing:
        folders = ", ".join(str(folder) for folder in (record.config.data.folder, *record.added))
        raise CameraError(
            f"{missing} of the images learnt before are needed again and are no longer in "
            f"{folders}: bring them back, or teach again with the images that are there"
        )
    return found


def _read_again(
    hashes: Sequence[str], paths: dict[str, Path], window: Window | None
) -> list[SurveyedSample]:
    """Surveys files again.

    Raises:
        CameraError: a file is gone or has another content.
    """
    samples = survey([Sample(paths[sha256]) for sha256 in hashes], window)
    changed = [
        s.sample.path for s, sha256 in zip(samples, hashes, strict=True) if s.sha256 != sha256
    ]
    if changed:
        names = [str(path) for path in changed]
        raise CameraError(listed(f"{len(changed)} images have changed since the training:", names))
    return samples
