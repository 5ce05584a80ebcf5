"""Reports an evaluation as one HTML page: figures, histogram and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from inspection.images import encode_jpeg, encode_png
from inspection.overlay import caption
from reports.classification import classification_tables
from reports.pages import (
    Card,
    Cards,
    FigureRow,
    Figures,
    Highlights,
    Notices,
    Picture,
    Plot,
    Section,
    Table,
    write_page,
)
from reports.pictures import ColourScale, data_url
from reports.sheets import colour_bar
from training.evaluation import Evaluation, RanEngine, Rate
from training.figures import (
    colour_scale,
    histogram,
    mistake,
    part_pictures,
    threshold_distance,
    wrong_verdicts,
)
from training.inspected import InspectedSample
from training.separation import AUPRO_LIMIT, AUPRO_STRICT_LIMIT

_CARD_SIDE = 260  # px
_BY_CATEGORY = {
    "image AUROC": "image_auroc",
    "pixel AUROC": "pixel_auroc",
    f"AUPRO at {AUPRO_LIMIT}": "aupro",
    "AUPIMO": "aupimo",
}
_NUMBERS = {  # name, basis and form of the figures that are numbers
    "image_auroc": ("Image AUROC", "score of the image", "{:.3f}"),
    "image_average_precision": ("Image average precision", "score of the image", "{:.3f}"),
    "best_f1_oracle": (
        "Best F1 (oracle)",
        "threshold chosen with the test labels: an upper limit, not a result",
        "{:.3f}",
    ),
    "detected_at_5_percent": (
        "PB5 (oracle)",
        "share of defects found when 5% of the good parts are rejected",
        "{:.3f}",
    ),
    "passed_at_5_percent": (
        "PG5 (oracle)",
        "share of good parts passed when 5% of the defects are missed",
        "{:.3f}",
    ),
    "pixel_auroc": ("Pixel AUROC", "{pixels}", "{:.3f}"),
    "aupro": (f"AUPRO at {AUPRO_LIMIT}", "regions of defects; {pixels}", "{:.3f}"),
    "aupro_strict": (f"AUPRO at {AUPRO_STRICT_LIMIT}", "regions of defects; {pixels}", "{:.3f}"),
    "aupimo": (
        "AUPIMO",
        "recall per image at false positive rates of 1e-5 to 1e-4 on good images",
        "{:.3f}",
    ),
    "pixel_average_precision": ("Pixel average precision", "{pixels}", "{:.3f}"),
    "pixel_best_f1_oracle": ("Pixel best F1 (oracle)", "{pixels}", "{:.3f}"),
    "latency_p50_ms": ("Latency, median", "frame in memory to verdict", "{:.1f} ms"),
}


def write_report(
    path: Path,
    title: str,
    evaluation: Evaluation,
    inspected: Sequence[InspectedSample],
    *,
    notices: Sequence[str] = (),
    cards: int = 60,
) -> None:
    """Writes the page atomically.

    Args:
        evaluation: the figures; the page shows its doubts too.
        inspected: the samples behind the figures.
        notices: further warnings to read first.
        cards: largest number of parts to show.
    """
    scores = Picture(
        "Histogram of the scores of good and defective parts, with the thresholds",
        data_url(histogram(inspected, evaluation)),
    )
    sections: list[Section] = [
        Notices([*notices, *evaluation.doubts]),
        Highlights(_highlights(evaluation)),
        Plot("Scores", scores),
        Figures(figure_table(evaluation)),
        Table("Categories", _categories(evaluation), ["category", *_BY_CATEGORY]),
        *classification_tables(
            evaluation.classification,
            "At the calibrated threshold: PASS predicts good, REJECT defective, REVIEW neither. "
            "Parts without a verdict are left out.",
        ),
        Table(
            "Escapes by kind of defect",
            [(kind, *_rate(rate)) for kind, rate in evaluation.escapes_by_defect.items()],
            ["defect", "escape rate", "parts", "bounds"],
        ),
        Table("Parts without a verdict", list(evaluation.no_verdict.items())),
        _cards(evaluation, inspected, cards),
        Table("Origin", _origin(evaluation), kind="origin"),
    ]
    write_page(path, title, _subtitle(evaluation), sections)


def _cards(evaluation: Evaluation, inspected: Sequence[InspectedSample], most: int) -> Cards:
    scale = colour_scale(inspected, evaluation)
    shown = in_order_of_interest(inspected)[:most]
    return Cards(
        "Images",
        f"{len(shown)} of {len(inspected)} images are shown: wrong verdicts first, then images "
        "without a verdict, then the others by distance from the threshold. "
        + ("A part takes the worst verdict of its images. " if evaluation.part_name else "")
        + "All anomaly maps have the same colour scale; a cyan border is that of the ground truth:",
        [card(sample, scale) for sample in shown],
        Picture("Colour scale of the anomaly maps", data_url(encode_png(colour_bar(scale)))),
        kind="wide",
    )


def in_order_of_interest(inspected: Sequence[InspectedSample]) -> list[InspectedSample]:
    """Orders wrong verdicts first, then parts without one, then others by threshold distance."""
    wrong = wrong_verdicts(inspected)
    unjudged = [s for s in inspected if not s.is_judged]
    others = [s for s in inspected if s.is_judged and not (s.is_false_reject or s.is_escape)]
    return [*wrong, *unjudged, *sorted(others, key=threshold_distance)]


def figure_rows(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Returns names and values of the figures, for a terminal."""
    return [(row.name, f"{row.value:<14} {row.basis}") for row in figure_table(evaluation)]


def figure_table(evaluation: Evaluation) -> list[FigureRow]:
    """Returns all figures; one that is not defined has its reason."""
    height, width = evaluation.map_size
    pixels = f"pixels of the anomaly map, {height} x {width}"
    return [
        _rate_row(evaluation, "false_reject_rate", "False reject rate", "good parts"),
        _rate_row(evaluation, "escape_rate", "Escape rate", "defective parts"),
        *_review_rows(evaluation),
        *_early_rows(evaluation),
        FigureRow(
            "Promised false reject rate",
            f"at most {evaluation.promised_false_reject_rate:.1%}",
            f"by the calibration, at {evaluation.confidence:.0%} confidence",
        ),
        FigureRow(
            "Threshold", f"{evaluation.threshold:.4g}", "raw score; above it the part is rejected"
        ),
        *(
            _number_row(evaluation, field, name, basis.format(pixels=pixels), form)
            for field, (name, basis, form) in _NUMBERS.items()
        ),
    ]


def card(sample: InspectedSample, scale: ColourScale) -> Card:
    """Makes the card of a part: two wide pictures side by side, or four others."""
    drawn = part_pictures(sample, scale, _CARD_SIDE)
    shown = [("frame", drawn.frame), ("anomaly map", drawn.heat), ("defect found", drawn.outline)]
    if not sample.sample.is_good:
        shown.insert(1, ("ground truth", drawn.truth))
    height, width = drawn.frame.shape[:2]
    inspection = sample.inspection
    return Card(
        name=sample.name,
        pictures=tuple(Picture(title, data_url(encode_jpeg(one, 80))) for title, one in shown),
        verdict=inspection.verdict.value,
        caption=caption(inspection).removeprefix(inspection.verdict.value).strip(),
        mistake=mistake(sample),
        lines=(inspection.message,) if inspection.message else (),
        columns=2 if width > 1.5 * height else 4,
    )


def _subtitle(evaluation: Evaluation) -> str:
    backbone = f" with backbone {evaluation.backbone}" if evaluation.backbone else ""
    return (
        f"{evaluation.good} good and {evaluation.defective} defective parts of "
        f"{evaluation.data_set}, inspected as on the line: model {evaluation.model}{backbone}, "
        f"recipe {evaluation.recipe}, at its calibrated threshold. {evaluation.created_utc[:10]}"
    )


def _origin(evaluation: Evaluation) -> list[tuple[str, str]]:
    return [
        ("bundle", f"{evaluation.bundle}, seal {evaluation.bundle_seal}"),
        *(("engine", line) for line in engine_lines(evaluation)),
        ("calibration", f"recipe {evaluation.recipe}, seal {evaluation.calibration_seal}"),
        ("calibrated through", f"{evaluation.artefact}, SHA-256 {evaluation.artefact_sha256}"),
        ("test images", f"{evaluation.data_set}, SHA-256 {evaluation.data_sha256}"),
        ("evaluated", evaluation.created_utc),
    ]


def engine_lines(evaluation: Evaluation) -> list[str]:
    """Returns a line about each engine that ran, in the order in which they saw an image."""
    return [
        f"{_named(one)}, SHA-256 {one.artefact_sha256}; verdicts: {one.verdicts}"
        for one in evaluation.engines
    ]


def _named(engine: RanEngine) -> str:
    return f"{engine.artefact} on {engine.engine} in {engine.precision}"


def _highlights(evaluation: Evaluation) -> list[FigureRow]:
    rows = {row.name: row for row in figure_table(evaluation)}
    names = ("False reject rate", "Escape rate", "Image AUROC", "Latency, median")
    return [rows[name] for name in names]


def _categories(evaluation: Evaluation) -> list[list[str]]:
    """Returns the figures of each category, and their means."""
    found = evaluation.categories
    lines = [
        [name, *(_number(getattr(figures, field)) for field in _BY_CATEGORY.values())]
        for name, figures in found.items()
    ]
    if not lines:
        return []
    means = ["mean"]
    for field in _BY_CATEGORY.values():
        values = [v for f in found.values() if (v := getattr(f, field)) is not None]
        means.append(_number(mean(values) if values else None))
    return [*lines, means]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _review_rows(evaluation: Evaluation) -> list[FigureRow]:
    if evaluation.threshold_review is None:
        return []
    return [
        _rate_row(evaluation, "review_rate_good", "Review rate, good", "good parts"),
        _rate_row(evaluation, "review_rate_defective", "Review rate, defective", "defective parts"),
    ]


def _early_rows(evaluation: Evaluation) -> list[FigureRow]:
    if evaluation.early_pass_rate is None:
        return []
    value, counts, _ = _rate(evaluation.early_pass_rate)
    first, last = evaluation.engines
    basis = f"{counts} images, by {_named(first)}; {_named(last)} judged the others"
    return [FigureRow("Passed early", value, basis)]


def _rate_row(evaluation: Evaluation, field: str, name: str, of: str) -> FigureRow:
    rate: Rate | None = getattr(evaluation, field)
    if rate is None:
        return FigureRow(name, "-", evaluation.undefined[field])
    value, counts, bounds = _rate(rate)
    return FigureRow(name, value, f"{counts} {of}; {bounds}")


def _number_row(evaluation: Evaluation, field: str, name: str, basis: str, form: str) -> FigureRow:
    value: float | None = getattr(evaluation, field)
    if value is None:
        return FigureRow(name, "-", evaluation.undefined[field])
    return FigureRow(name, form.format(value), basis)


def _rate(rate: Rate) -> tuple[str, str, str]:
    bounds = f"95% bounds {rate.low:.1%} to {rate.high:.1%}"
    return f"{rate.rate:.1%}", f"{rate.count} of {rate.of}", bounds
