"""Plots evaluations and studies as PNG. Needs matplotlib, and leaves its global state alone."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from inspection.digits import comparable


def score_histogram(
    good: Sequence[float], defective: Sequence[float], reject: float, review: float | None = None
) -> bytes:
    """Plots the scores of good and defective parts with the thresholds; returns PNG bytes."""
    figure = _figure(9, 3.6)
    axes = figure.add_subplot()
    count = len(good) + len(defective)
    bins = np.histogram_bin_edges([reject, *good, *defective], bins=min(40, 10 + count // 4))
    for name, values, colour, hatch in (
        ("good", good, "#3b7dbf", ""),
        ("defective", defective, "#d9822b", "//"),
    ):
        label = f"{name} ({len(values)})"
        axes.hist(values, list(bins), color=colour, alpha=0.65, hatch=hatch, label=label)
    shown = comparable(reject) if review is None else comparable(reject, review)
    axes.axvline(reject, color="black", lw=1.4, label=f"reject above {shown[0]}")
    if review is not None:
        axes.axvline(review, color="black", lw=1.4, ls="--", label=f"review above {shown[1]}")
    axes.set(xlabel="raw score", ylabel="images")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return _png(figure, dpi=130)


def comparison_plot(
    figures: Mapping[str, Mapping[str, Sequence[tuple[str, float]]]], data_sets: Sequence[str]
) -> bytes:
    """Plots figures of several models on several data sets, a point per value; returns PNG bytes.

    Args:
        figures: title of a figure -> model -> data set and value, from 0 to 1.
        data_sets: names, from left to right.
    """
    figure = _figure(11, 4.2)
    for axes, (title, models) in zip(
        figure.subplots(1, len(figures), sharey=True, squeeze=False)[0],
        figures.items(),
        strict=True,
    ):
        for number, (model, values) in enumerate(models.items()):
            offset = 0.12 * (number - (len(models) - 1) / 2)
            places = [data_sets.index(data_set) + offset for data_set, _ in values]
            axes.plot(places, [value for _, value in values], "o", label=model, alpha=0.8)
        axes.set(title=title, xticks=range(len(data_sets)), xticklabels=data_sets, ylim=(0, 1.02))
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return _png(figure, dpi=110)


_COLOURS = {
    "best": "#2f7d4f",
    "second look": "#8fbf9f",
    "slower": "#3b7dbf",
    "refused": "#b9bec4",
}
_STATES = {
    "best": "kept: sees every part",
    "second look": "kept: decides where that one does not pass",
    "slower": "holds, and is slower",
    "refused": "refused by a build",
}


def times_plot(
    title: str,
    engines: Sequence[tuple[str, float, float, str]],
    preprocess_ms: float,
    decide_ms: float,
) -> bytes:
    """Plots the times from frame to verdict as stacked bars; returns PNG bytes.

    Args:
        engines: from top to bottom the name, the median milliseconds of an inference, the same
            after an idle gap, and the state: a key of `_STATES`.
        preprocess_ms, decide_ms: of the steps around each engine; 0 when unknown.
    """
    figure = _figure(9, 1.6 + 0.5 * len(engines))
    axes = figure.add_subplot()
    places = np.arange(len(engines))
    runs = np.array([steady for _, steady, _, _ in engines])
    if preprocess_ms:
        axes.barh(places, preprocess_ms, 0.6, color="#d9822b", label="prepare the frame")
    for state, label in _STATES.items():
        here = [place for place, engine in enumerate(engines) if engine[3] == state]
        if here:  # the legend would show an empty bar in a colour that is not its own
            axes.barh(here, runs[here], 0.6, preprocess_ms, color=_COLOURS[state], label=label)
    if decide_ms:
        axes.barh(places, decide_ms, 0.6, preprocess_ms + runs, color="black", label="decide")
    gaps = preprocess_ms + decide_ms + np.array([gap for _, _, gap, _ in engines])
    axes.plot(gaps, places, "|", color="#444444", ms=14, mew=1.8, label="after an idle gap")
    whole = preprocess_ms + runs + decide_ms
    for place, total in zip(places, whole, strict=True):
        text = f" {total:.1f} ({gaps[place]:.1f} after a gap)"
        axes.annotate(
            text, (max(total, gaps[place]), place), (4, 0), va="center", textcoords="offset points"
        )
    axes.set(title=title, xlabel="ms from frame to verdict", xlim=(0, 1.3 * max(*whole, *gaps)))
    axes.set_yticks(places, [name for name, *_ in engines], fontsize=9)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return _png(figure, dpi=120)


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Figure, dpi: int) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi)
    return stream.getvalue()
