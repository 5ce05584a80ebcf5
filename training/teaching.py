"""The choices of `linewarden teach`: hold-out, frames, and the model by evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from inspection.config.loading import StrictModel
from inspection.errors import named
from inspection.preprocess import Preprocessing
from training.candidates import Sections, forms_at_hand, grouped
from training.config import TrainConfig
from training.data.survey import SurveyedSample, split_good
from training.evidence import Limits, compare
from training.evidence_record import Evidence
from training.features import keep_freed_memory
from training.input_size import Size, sizes_to_compare, typical_size
from training.weights_source import Source

_FEW = 50  # with fewer good images a larger share is held out
# Time of a comparison when nobody gives one: for a few images, for each more, and at most.
_SECONDS, _SECONDS_PER_IMAGE, _MOST_SECONDS = 6.0, 0.1, 40.0


class Plan(StrictModel):
    """The chosen training, and the comparison that chose it."""

    config: TrainConfig
    evidence: Evidence


class Wishes(NamedTuple):
    """What the person asks of the model.

    Attributes:
        seconds: time of the comparison; None chooses it by the number of images.
        size: height and width of the input; None compares some.
        smallest_defect_px: in native px; None for any.
        budget_ms: time per part; None for any.
        forms: of models to compare; empty for all.
    """

    seconds: float | None = None
    size: Size | None = None
    smallest_defect_px: float | None = None
    budget_ms: float | None = None
    forms: tuple[str, ...] = ()


def plan_by_evidence(
    good: Sequence[SurveyedSample],
    test: Sequence[SurveyedSample],
    sources: Sequence[Source],
    *,
    wishes: Wishes,
    fixed: Sections,
    report: Callable[[str], None],
) -> Plan:
    """Compares candidates and returns the best one, to be trained on all images.

    Args:
        good: the good images.
        test: labelled images; only their frame sizes count.
        sources: backbones with the places of their weights.
        fixed: the given settings by section: folder, device, seed.
        report: called with a line about each choice.

    Raises:
        CameraError: there are too few images.
        ConfigError: no candidate fits to the wishes.
    """
    keep_freed_memory()
    hold_out = 0.3 if len(good) < _FEW else 0.2
    report(f"{len(good)} good images, {hold_out:.0%} of them held out for the threshold")
    data = {**fixed["data"], "hold_out": hold_out, **_frames(good, test, report)}
    settings = {**fixed, "data": data}
    split = split_good(good, hold_out=hold_out, seed=fixed["fit"]["seed"])
    sizes = _sizes(good, wishes)
    seconds = wishes.seconds
    if seconds is None:
        seconds = min(_SECONDS + _SECONDS_PER_IMAGE * len(good), _MOST_SECONDS)
    best, evidence = compare(
        split.fit,
        grouped(sources, sizes),
        forms_at_hand(wishes.forms),
        Preprocessing(
            frame_height=data["frame_height"],
            frame_width=data["frame_width"],
            channels=1 if good[0].channels == 1 else 3,
            height=sizes[0][0],
            width=sizes[0][1],
        ),
        settings,
        limits=Limits(seconds, wishes.budget_ms, wishes.smallest_defect_px),
    )
    for line in evidence.lines():
        report(line)
    report(f"input {best.size[0]}x{best.size[1]} (height x width)")
    return Plan(config=best.config(settings), evidence=evidence)


def _sizes(good: Sequence[SurveyedSample], wishes: Wishes) -> list[Size]:
    if wishes.size is not None:
        return [wishes.size]
    return sizes_to_compare(
        typical_size(good),
        smallest_defect_px=wishes.smallest_defect_px,
        is_time_limited=wishes.budget_ms is not None,
    )


def _frames(
    good: Sequence[SurveyedSample], test: Sequence[SurveyedSample], report: Callable[[str], None]
) -> dict[str, Any]:
    """Returns the allowed sizes of frames: the range of all images. Names those of a rare size."""
    images = [*good, *test]
    sizes = Counter(sample.size for sample in images)
    (heights, widths) = ((min(side), max(side)) for side in zip(*sizes, strict=True))
    if len(sizes) > 1:
        usual, count = sizes.most_common(1)[0]
        others = named([str(s.sample.path) for s in images if s.size != usual])
        report(
            f"frames of {len(sizes)} sizes, {heights[0]} to {heights[1]} high and {widths[0]} to "
            f"{widths[1]} wide; {count} of {len(images)} are {usual[0]}x{usual[1]}, the others: "
            f"{others}"
        )
    return {"frame_height": heights, "frame_width": widths}
