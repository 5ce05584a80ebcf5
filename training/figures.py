"""Chooses and orders the parts that the pictures of an evaluation show, and their colours."""

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
    """Draws a contact sheet of the parts from `choose`, with one colour scale and its bar."""
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
    """Makes the panel of a part for a contact sheet."""
    drawn = part_pictures(sample, scale)
    return Panel(sample.name, sample.inspection, drawn, mistake(sample))


def part_pictures(sample: InspectedSample, scale: ColourScale, side: int = SIDE) -> Pictures:
    """Draws the inspected region of a part; `side` is that of a square one in px."""
    return pictures(*sample.region(), sample.inspection, scale, side)


def mistake(sample: InspectedSample) -> str:
    """Returns names the mistake in the verdict on a part; empty when it is right."""
    if sample.is_false_reject:
        return "false reject"
    return "escape" if sample.is_escape else ""


def histogram(inspected: Sequence[InspectedSample], evaluation: Evaluation) -> bytes:
    """Plots the scores of good and defective parts; returns PNG bytes."""
    scores: dict[bool, list[float]] = {True: [], False: []}
    for sample in inspected:
        if sample.is_judged:
            scores[sample.sample.is_good].append(sample.inspection.score)
    return score_histogram(
        scores[True], scores[False], evaluation.threshold, evaluation.threshold_review
    )


def colour_scale(inspected: Sequence[InspectedSample], evaluation: Evaluation) -> ColourScale:
    """Makes one scale for all pictures, with the calibrated pixel threshold in the middle.

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
    """Chooses parts for a sheet of `limit` places.

    Up to half are wrong verdicts, the worst first. The others are the highest, the lowest and the
    median score of each class, in this order when places are short.
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
    """Returns false rejects and escapes in turn, the farthest from the threshold first."""
    ordered = sorted(inspected, key=threshold_distance, reverse=True)
    rejects = [s for s in ordered if s.is_false_reject]
    escapes = [s for s in ordered if s.is_escape]
    return [s for pair in zip_longest(rejects, escapes) for s in pair if s is not None]


def threshold_distance(sample: InspectedSample) -> float:
    """Returns the distance of the score from the threshold, in raw units; NaN without a score."""
    return abs(sample.inspection.score - sample.inspection.thresholds.reject)
