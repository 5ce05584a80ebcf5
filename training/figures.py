"""What pictures of an evaluation show: which parts, in which order, on which colours."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import numpy as np

from reports.pictures import SIDE, ColourScale, Image, Pictures, pictures
from reports.plots import score_histogram
from reports.sheets import Panel, contact_sheet
from training.evaluation import Evaluation
from training.inspected import InspectedSample


def figure_sheet(
    inspected: Sequence[InspectedSample], evaluation: Evaluation, limit: int = 24
) -> Image:
    """A contact sheet of the parts that `choose` takes, with one colour scale and its bar."""
    scale = colour_scale(inspected, evaluation)
    chosen = choose(inspected, limit)
    wrong, shown = (sum(bool(mistake(s)) for s in samples) for samples in (inspected, chosen))
    return contact_sheet(
        f"{evaluation.data_set}: {evaluation.model}, recipe {evaluation.recipe}",
        f"{len(chosen)} of {len(inspected)} test images: {shown} of {wrong} wrong verdicts, "
        "then highest, median and lowest score of each class",
        [panel(sample, scale) for sample in chosen],
        scale,
    )


def panel(sample: InspectedSample, scale: ColourScale) -> Panel:
    """The panel of a part on a contact sheet."""
    drawn = part_pictures(sample, scale)
    return Panel(sample.name, sample.inspection, drawn, mistake(sample))


def part_pictures(sample: InspectedSample, scale: ColourScale, side: int = SIDE) -> Pictures:
    """The pictures of a part; see `reports.pictures.pictures`."""
    return pictures(*sample.region(), sample.inspection, scale, side)


def mistake(sample: InspectedSample) -> str:
    """How the verdict on a part is wrong; empty when it is right."""
    if sample.is_false_reject:
        return "false reject"
    return "escape" if sample.is_escape else ""


def histogram(inspected: Sequence[InspectedSample], evaluation: Evaluation) -> bytes:
    """Histogram of the scores of good and defective parts, as PNG bytes."""
    scores: dict[bool, list[float]] = {True: [], False: []}
    for sample in inspected:
        if sample.is_judged:
            scores[sample.sample.is_good].append(sample.inspection.score)
    return score_histogram(
        scores[True], scores[False], evaluation.threshold, evaluation.threshold_review
    )


def colour_scale(inspected: Sequence[InspectedSample], evaluation: Evaluation) -> ColourScale:
    """One scale for all pictures: the calibrated pixel threshold is its middle.

    Its lower end is the usual value of good parts, so that their noise stays dark and a value above
    the threshold is bright in every picture. The extremes of single images do not change it.
    """
    judged = [s for s in inspected if s.is_judged]
    shown = [s for s in judged if s.sample.is_good] or judged
    maps = [s.inspection.anomaly_map for s in shown]
    medians = [float(np.median(values)) for values in maps if values is not None]
    pixel = evaluation.threshold_pixel
    usual = float(np.median(medians)) if medians else pixel
    reach = max(pixel - usual, 1e-6 * max(1.0, abs(pixel)))
    return ColourScale(pixel - reach, pixel, pixel + reach)


def choose(inspected: Sequence[InspectedSample], limit: int) -> list[InspectedSample]:
    """Wrong verdicts first, the worst ahead, in up to half of the places; then from each class the
    highest, the lowest and the median score, in this order when places are short.
    """
    judged = [s for s in inspected if s.is_judged]
    first = wrong_verdicts(judged)[: limit // 2]
    classes: dict[str, list[InspectedSample]] = {}
    for sample in sorted(judged, key=lambda s: -s.inspection.score):
        classes.setdefault(sample.sample.defect, []).append(sample)
    order = sorted(classes)
    typical = [classes[name][0] for name in order]
    typical += [classes[name][-1] for name in order]
    typical += [classes[name][len(classes[name]) // 2] for name in order]
    others = [s for s in dict.fromkeys(typical) if s not in first][: limit - len(first)]
    return first + sorted(others, key=lambda s: (s.sample.defect, -s.inspection.score))


def wrong_verdicts(inspected: Sequence[InspectedSample]) -> list[InspectedSample]:
    """False rejects and escapes in turn, the farthest from the threshold first."""
    ordered = sorted(inspected, key=threshold_distance, reverse=True)
    rejects = [s for s in ordered if s.is_false_reject]
    escapes = [s for s in ordered if s.is_escape]
    return [s for pair in zip_longest(rejects, escapes) for s in pair if s is not None]


def threshold_distance(sample: InspectedSample) -> float:
    """How far the score is from the threshold, in raw units; NaN without a score."""
    return abs(sample.inspection.score - sample.inspection.thresholds.reject)
