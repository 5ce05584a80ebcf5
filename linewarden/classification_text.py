"""Writes a classification report for a terminal."""

from __future__ import annotations

from linewarden.text_table import aligned
from reports.classification import (
    ClassificationReport,
    class_rows,
    confusion_rows,
    defect_rows,
)


def classification_lines(report: ClassificationReport, counted: str) -> list[str]:
    """Returns the figures of the classes, the confusion matrix and the kinds of defects.

    Args:
        counted: the things that the report counts: "parts".
    """
    lines = [f"classification at the calibrated threshold, in {counted}"]
    for rows in filter(None, (class_rows(report), confusion_rows(report), defect_rows(report))):
        lines += [f"  {line}" for line in aligned(rows, numbers_from=1)]
    return lines
