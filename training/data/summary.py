"""Summary of a data set: counts, sizes, masks, duplicates."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from inspection.errors import CameraError, FrameError, listed
from training.data.data_set import DataSet, Sample
from training.data.masks import read_mask
from training.data.survey import SurveyedSample, survey_stored

Kind = tuple[str, str, str]  # split, category, defect

_UNDRAWN, _EMPTY, _DRAWN = "no mask", "an empty mask", "a mask"


@dataclass(frozen=True)
class Summary:
    """Counts over all images of a data set.

    Attributes:
        images: by split, category and defect.
        masks: those of `images` with a mask that shows a defect.
        undrawn: defects without such a mask: "no mask" or "an empty mask".
        sizes: height and width, px.
        channels: 1 grey, 3 colour.
        duplicates: groups of files with the same content.
        leaks: those of `duplicates` in both splits, or both good and defective.
    """

    images: Counter[Kind]
    masks: Counter[Kind]
    undrawn: Counter[str]
    sizes: Counter[tuple[int, int]]
    channels: Counter[int]
    duplicates: tuple[tuple[Path, ...], ...]
    leaks: tuple[tuple[Path, ...], ...]


def summarise(data_set: DataSet) -> Summary:
    """Reads every image and mask of a data set.

    Raises:
        CameraError: files cannot be read, or masks differ in size from their images; the message
            names all of them.
    """
    images: Counter[Kind] = Counter()
    masks: Counter[Kind] = Counter()
    undrawn: Counter[str] = Counter()
    surveyed: list[tuple[str, SurveyedSample]] = []
    problems: list[str] = []
    for split, sample in _samples(data_set):
        kind = (split, data_set.category_of(sample), sample.defect)
        images[kind] += 1
        try:
            read = survey_stored(sample)
            truth = _truth_of(read)
        except (CameraError, FrameError) as error:
            problems.append(str(error))
            continue
        surveyed.append((split, read))
        masks[kind] += truth == _DRAWN
        undrawn[truth] += not sample.is_good and truth != _DRAWN
    if problems:
        raise CameraError(listed(f"{len(problems)} unusable files:", problems))
    sizes = Counter(read.size for _, read in surveyed)
    channels = Counter(read.channels for _, read in surveyed)
    return Summary(images, masks, +undrawn, sizes, channels, *_duplicates(surveyed))


def _samples(data_set: DataSet) -> Iterable[tuple[str, Sample]]:
    for split, samples in data_set.splits.items():
        for sample in samples:
            yield split, sample


def _truth_of(read: SurveyedSample) -> str:
    if read.sample.mask is None:
        return _UNDRAWN
    return _DRAWN if read_mask(read.sample.mask, read.size).any() else _EMPTY


def _duplicates(
    surveyed: Iterable[tuple[str, SurveyedSample]],
) -> tuple[tuple[tuple[Path, ...], ...], tuple[tuple[Path, ...], ...]]:
    by_content: dict[str, list[tuple[str, Sample]]] = defaultdict(list)
    for split, read in surveyed:
        by_content[read.sha256].append((split, read.sample))
    same = [group for group in by_content.values() if len(group) > 1]
    leaks = [group for group in same if len({(split, s.is_good) for split, s in group}) > 1]
    duplicates, leaking = (
        tuple(tuple(sample.path for _, sample in group) for group in groups)
        for groups in (same, leaks)
    )
    return duplicates, leaking
