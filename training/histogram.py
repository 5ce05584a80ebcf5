"""Histogram of the scores of good and defective parts."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from training.evaluation import Evaluation
from training.inspected import InspectedSample


def score_histogram(inspected: Sequence[InspectedSample], evaluation: Evaluation) -> bytes:
    """Draws the scores of good and defective parts with the thresholds; returns PNG bytes."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    judged = [s for s in inspected if s.is_judged]
    scores = {
        "good": [s.inspection.score for s in judged if s.sample.is_good],
        "defective": [s.inspection.score for s in judged if not s.sample.is_good],
    }
    everything = [evaluation.threshold, *(s.inspection.score for s in judged)]
    bins = np.histogram_bin_edges(everything, bins=min(40, 10 + len(judged) // 4))
    for (name, values), colour, hatch in zip(
        scores.items(), ("#3b7dbf", "#d9822b"), ("", "//"), strict=True
    ):
        label = f"{name} ({len(values)})"
        axes.hist(values, list(bins), color=colour, alpha=0.65, hatch=hatch, label=label)
    _draw_thresholds(axes, evaluation)
    axes.set(xlabel="raw score", ylabel="parts")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=130)
    return stream.getvalue()


def _draw_thresholds(axes: Axes, evaluation: Evaluation) -> None:
    reject = evaluation.threshold
    axes.axvline(reject, color="black", lw=1.4, label=f"reject above {reject:.4g}")
    if (review := evaluation.threshold_review) is not None:
        axes.axvline(review, color="black", lw=1.4, ls="--", label=f"review above {review:.4g}")
