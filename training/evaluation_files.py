"""The files of an evaluation: figures, sheet, histogram and report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from inspection.files import write_bytes, write_text
from inspection.images import NameExpression, encode_png
from inspection.inspector import Inspector
from training.data.data_set import DataSet
from training.evaluation import Evaluation, evaluate
from training.figures import figure_sheet, histogram
from training.inspected import inspect_samples
from training.report import write_report


def evaluate_to(
    inspector: Inspector,
    data_set: DataSet,
    out: Path,
    *,
    part_of: NameExpression | None = None,
    notices: Sequence[str] = (),
    report: Callable[[], object] = lambda: None,
) -> Evaluation:
    """Evaluates on the test images of a data set, and writes the files into the folder `out`.

    Each file is replaced atomically, result.json last; others in `out` stay.

    Args:
        part_of: names the part that an image shows; None when every image is another part.
        notices: come first among the notices of the report.
        report: called after each image.

    Raises:
        CameraError: as for `inspect_samples`.
        ConfigError: `part_of` does not match the name of an image.
    """
    if part_of is not None:
        for sample in data_set.test:
            part_of(sample.path)  # refuses a file without a name before all are inspected
    inspected = inspect_samples(inspector, data_set.test, report)
    evaluation = evaluate(inspector, data_set.name, inspected, data_set.doubts, part_of)
    out.mkdir(parents=True, exist_ok=True)
    write_bytes(out / "sheet.png", encode_png(figure_sheet(inspected, evaluation)))
    write_bytes(out / "histogram.png", histogram(inspected, evaluation))
    title = f"Inspection of {data_set.name}"
    write_report(out / "report.html", title, evaluation, inspected, notices=notices)
    write_text(out / "result.json", evaluation.model_dump_json(indent=2) + "\n")
    return evaluation
