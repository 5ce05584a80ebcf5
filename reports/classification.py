"""The classification report of verdicts on labelled parts, in the form of scikit-learn.

Two classes, good and defective, each with precision, recall, F1 and support; their micro, macro and
weighted averages; the confusion matrix; the recall of each kind of defect. A part in REVIEW is
predicted to be neither: it lowers the recall of its class and the precision of none, as with
`labels=` in `sklearn.metrics.classification_report`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from inspection.config.loading import StrictModel
from reports.pages import Table

GOOD, DEFECTIVE, REVIEW = "good", "defective", "review"
_CLASSES = (GOOD, DEFECTIVE)

Rows = list[tuple[str, ...]]


class ClassFigures(StrictModel):
    """Figures of a class, or an average of the classes. None without a part to compute one from.

    Attributes:
        precision: share of the parts predicted to be of the class that are.
        recall: share of the parts of the class that are predicted to be.
        f1: harmonic mean of the two.
        support: number of parts of the class.
    """

    precision: float | None
    recall: float | None
    f1: float | None
    support: int


class ClassificationReport(StrictModel):
    """Predictions against labels.

    Attributes:
        classes: `good` and `defective`.
        micro: over all parts alike; without REVIEW all three are the accuracy.
        macro: mean of the classes for which a figure is defined.
        weighted: the same, weighted by their support.
        confusion: label -> prediction -> number of parts; with `review` where there is such a part.
        defects: the same for each kind of defect.
        recall_by_defect: share of the parts of each kind that are predicted to be defective.
    """

    classes: dict[str, ClassFigures]
    micro: ClassFigures
    macro: ClassFigures
    weighted: ClassFigures
    confusion: dict[str, dict[str, int]]
    defects: dict[str, dict[str, int]]
    recall_by_defect: dict[str, float]


def classification(parts: Iterable[tuple[str, str]]) -> ClassificationReport:
    """Compares predictions with labels.

    Args:
        parts: for each part its label, `good` or a kind of defect, and its prediction: `good`,
            `defective` or `review`.
    """
    counts = Counter(parts)
    said = (*_CLASSES, REVIEW) if any(one == REVIEW for _, one in counts) else _CLASSES
    kinds = sorted({label for label, _ in counts if label != GOOD})
    defects = {kind: {one: counts[kind, one] for one in said} for kind in kinds}
    confusion = {
        GOOD: {one: counts[GOOD, one] for one in said},
        DEFECTIVE: {one: sum(row[one] for row in defects.values()) for one in said},
    }
    right = {name: confusion[name][name] for name in _CLASSES}
    predicted = {name: sum(row[name] for row in confusion.values()) for name in _CLASSES}
    support = {name: sum(confusion[name].values()) for name in _CLASSES}
    classes = {name: _figures(right[name], predicted[name], support[name]) for name in _CLASSES}
    return ClassificationReport(
        classes=classes,
        micro=_figures(*(sum(one.values()) for one in (right, predicted, support))),
        macro=_averaged(classes.values(), lambda _: 1),
        weighted=_averaged(classes.values(), lambda one: one.support),
        confusion=confusion,
        defects=defects,
        recall_by_defect={
            kind: row[DEFECTIVE] / sum(row.values()) for kind, row in defects.items()
        },
    )


def class_rows(report: ClassificationReport) -> Rows:
    """Returns a heading, a row for each class and for each average."""
    named = {
        **report.classes,
        "micro avg": report.micro,
        "macro avg": report.macro,
        "weighted avg": report.weighted,
    }
    return [
        ("class", "precision", "recall", "f1-score", "support"),
        *(
            (name, *map(_shown, (one.precision, one.recall, one.f1)), str(one.support))
            for name, one in named.items()
        ),
    ]


def confusion_rows(report: ClassificationReport) -> Rows:
    """Returns a heading and a row for each label: the number of parts by prediction."""
    said = list(report.confusion[GOOD])
    return [
        ("label", *(f"predicted {one}" for one in said)),
        *((label, *(str(row[one]) for one in said)) for label, row in report.confusion.items()),
    ]


def defect_rows(report: ClassificationReport) -> Rows:
    """Returns a heading and a row for each kind of defect; empty without a defective part."""
    said = list(report.confusion[GOOD])
    rows: Rows = [
        (
            kind,
            *(str(row[one]) for one in said),
            _shown(report.recall_by_defect[kind]),
            str(sum(row.values())),
        )
        for kind, row in report.defects.items()
    ]
    heading = ("defect", *(f"predicted {one}" for one in said), "recall", "support")
    return [heading, *rows] if rows else []


def classification_tables(report: ClassificationReport, note: str) -> tuple[Table, ...]:
    """Returns the report as sections of a page; `note` says how predictions come about."""
    sections = {
        "Classification report": (class_rows(report), note),
        "Confusion matrix": (confusion_rows(report), ""),
        "Defects by kind": (defect_rows(report), ""),
    }
    return tuple(
        Table(heading, rows[1:], rows[0] if rows else (), note=below)
        for heading, (rows, below) in sections.items()
    )


def _figures(right: int, predicted: int, support: int) -> ClassFigures:
    return ClassFigures(
        precision=_share(right, predicted),
        recall=_share(right, support),
        f1=_share(2 * right, predicted + support),
        support=support,
    )


def _averaged(
    classes: Iterable[ClassFigures], weight: Callable[[ClassFigures], int]
) -> ClassFigures:
    found = list(classes)

    def mean(values: Sequence[float | None]) -> float | None:
        weighed = [(v, weight(one)) for v, one in zip(values, found, strict=True) if v is not None]
        total = sum(w for _, w in weighed)
        return sum(v * w for v, w in weighed) / total if total else None

    return ClassFigures(
        precision=mean([one.precision for one in found]),
        recall=mean([one.recall for one in found]),
        f1=mean([one.f1 for one in found]),
        support=sum(one.support for one in found),
    )


def _share(count: int, of: int) -> float | None:
    return count / of if of else None


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
