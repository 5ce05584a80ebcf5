"""Adding good images to a finished run, with the result of learning all of them from the start."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch

from inspection.errors import CameraError, ConfigError, listed, named
from inspection.files import sha256_of
from training.checkpoint import HeldOut, RunRecord, build_model, load_run
from training.closed_form import KEPT_BYTES, Views, learn_images
from training.config import TrainConfig
from training.data.layout import read_data_set
from training.data.samples import SampleReader
from training.data.survey import (
    SurveyedSample,
    data_sha256,
    divide,
    frame_ranges,
    survey,
    survey_again,
)
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
    record, model = _closed_form_run(run)
    before = {*record.fitted_sha256, *(held.sha256 for held in record.held_out)}
    _refuse_learnt(without, before, run)
    incoming = _incoming(run, folder, record, before, without)
    everything = before | incoming.new.keys()
    paths, part_of = _known_files(incoming, record), record.config.data.part_of
    parts = dict(zip(everything, everything, strict=True))
    if part_of is not None:
        paths = _with_files_of(everything, paths, record)
        parts = {sha256: part_of(paths[sha256]) for sha256 in everything}
    config = _for_more(record, model, parts, incoming.left_out)
    fitted, held_out = divide(parts, hold_out=config.data.hold_out, seed=config.fit.seed)
    if not model.can_forget:
        model = _untaught(config, model)
    turnover = _turnover(record, model, fitted, held_out)
    paths = _with_files_of((*turnover.coming, *held_out), paths, record)
    views = _views(model, [*turnover.leaving, *turnover.coming], paths, record)
    learn_images(model, views, removed=range(len(turnover.leaving)))
    screened = {sha: s for sha, s in record.screened.items() if sha in turnover.staying}
    screening = Screening()
    if held_out:
        known, first = list(screened.values()), len(turnover.leaving)
        held = partial(_views, model, held_out, paths, record)
        screening = screen(model, views, held, first=first, known=known)
    updated = {
        **_kept(record),
        "fitted_sha256": fitted,
        "data_sha256": data_sha256(fitted),
        "config": config,
        "held_out": _files(held_out, paths),
        "judged_in_turn": () if held_out else _files(fitted, paths),
        "screened": screened | dict(zip(turnover.coming, screening.scores, strict=False)),
        "doubts": (*record.doubts, *screening.doubts),
        "added": (*record.added, folder.resolve()),
    }
    return Addition(model, updated, len(incoming.new), incoming.known, screening)


class _Incoming(NamedTuple):
    """The images of a folder that is added.

    Attributes:
        new: those that the run does not have, by SHA-256.
        known: files of those that it has.
        left_out: names of all images that are left out of the run from now on, by SHA-256.
    """

    new: dict[str, SurveyedSample]
    known: tuple[Path, ...]
    left_out: dict[str, str]


class _Turnover(NamedTuple):
    """The images that a model forgets, learns and keeps, by SHA-256."""

    leaving: list[str]
    coming: list[str]
    staying: frozenset[str]


def _closed_form_run(run: Path) -> tuple[RunRecord, ClosedFormModel]:
    record, model = load_run(run)
    if not isinstance(model, ClosedFormModel):
        raise ConfigError(
            f"{run}: {record.config.model.name} is trained by optimisation steps, so that images "
            "cannot be added; teach or train again with all of them"
        )
    return record, model


def _refuse_learnt(without: Mapping[str, str], before: Collection[str], run: Path) -> None:
    learnt = [name for sha256, name in without.items() if sha256 in before]
    if learnt:
        raise ConfigError(
            f"{run} has {named(learnt)} already; to leave it out teach again with --good, which "
            "takes seconds"
        )


def _incoming(
    run: Path,
    folder: Path,
    record: RunRecord,
    before: Collection[str],
    without: Mapping[str, str],
) -> _Incoming:
    """Surveys `folder`; refuses one without anything new, and images unlike those of the run."""
    left_out = {**record.config.data.without, **without}
    surveyed = survey(read_data_set(folder).good, record.preprocessing.window)
    found = [sample for sample in surveyed if sample.sha256 not in left_out]
    new = {sample.sha256: sample for sample in found if sample.sha256 not in before}
    if not new:
        rest = f", or leaves them out by hand ({len(left_out)})" if left_out else ""
        raise CameraError(f"{folder}: {run} has all of its {len(found)} images already{rest}")
    _refuse_other_frames(list(new.values()), record)
    known = tuple(sample.sample.path for sample in found if sample.sha256 not in new)
    return _Incoming(new, known, left_out)


def _turnover(
    record: RunRecord, model: ClosedFormModel, fitted: Sequence[str], held_out: Sequence[str]
) -> _Turnover:
    learnt = frozenset(record.fitted_sha256) if model.can_forget else frozenset[str]()
    leaving = [sha256 for sha256 in held_out if sha256 in learnt]
    coming = [sha256 for sha256 in fitted if sha256 not in learnt]
    return _Turnover(leaving, coming, learnt - frozenset(leaving))


def _known_files(incoming: _Incoming, record: RunRecord) -> dict[str, Path]:
    """Returns the files that are known without a search, by hash."""
    paths = {sha256: sample.sample.path for sha256, sample in incoming.new.items()}
    return paths | {file.sha256: file.path for file in record.for_calibration}


def _with_files_of(
    hashes: Iterable[str], paths: dict[str, Path], record: RunRecord
) -> dict[str, Path]:
    """Returns `paths` with at least the files of these images."""
    return paths | _found_again([sha256 for sha256 in hashes if sha256 not in paths], record)


def _kept(record: RunRecord) -> dict[str, Any]:
    """Returns the fields of a record for another one, without the hash of the weights."""
    return {
        name: getattr(record, name) for name in RunRecord.model_fields.keys() - {"weights_sha256"}
    }


def _views(
    model: ClosedFormModel, hashes: Sequence[str], paths: dict[str, Path], record: RunRecord
) -> Views:
    reader = SampleReader(
        survey_again([(paths[sha256], sha256) for sha256 in hashes], record.preprocessing.window),
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


def _for_more(
    record: RunRecord, model: ClosedFormModel, parts: Mapping[str, str], without: dict[str, str]
) -> TrainConfig:
    """Returns the configuration for so many parts; a share other than the rule's stays.

    Args:
        parts: part of each image, old and new, by its hash.
    """
    config = record.config
    before = [*record.fitted_sha256, *(held.sha256 for held in record.held_out)]
    # A model of the other images would know the others of the part.
    in_turn = model.can_forget and config.data.part_of is None
    by_rule, for_more = (
        hold_out_share(len({parts[sha256] for sha256 in hashes}), in_turn=in_turn)
        for hashes in (before, parts)
    )
    hold_out = for_more if config.data.hold_out in (0, by_rule) else config.data.hold_out
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
