"""Measure a calibrated bundle on labelled images, through its artefact.

DATA has a folder test/good and folders test/<defect>, with masks in
ground_truth/<defect> for the pixel figures. Nothing is tuned here: the threshold
is the calibrated one, and no test image changes it.

examples:
  linewarden evaluate bundles/flange parts/flange --out evaluation
  linewarden evaluate bundles/flange parts/flange --json

files:
  OUT/result.json     all figures, with counts and 95 % intervals
  OUT/report.html     figures, histogram and pictures on one page
  OUT/sheet.png       panels of chosen parts: frame, truth, heat map, mask, contour
  OUT/histogram.png   scores of good and defective parts
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from edge.files import write_bytes, write_text
from edge.inspector import Inspector
from training.data.layout import DataSet, read_data_set
from training.evaluation import Evaluation, evaluate, inspect_samples
from training.figures import MapScale, score_histogram, sheet_png
from training.report import figure_rows, render_report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="calibrated bundle")
    parser.add_argument("data", type=Path, metavar="DATA", help="data set with test images")
    parser.add_argument("--recipe", default="default", help="calibration (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="folder for figures and pictures")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def run(args: argparse.Namespace) -> int:
    """Evaluate and report."""
    with Inspector.open(args.bundle, args.recipe) as inspector:
        evaluation = evaluate_to(inspector, read_data_set(args.data), args.out)
    if args.json:
        print(evaluation.model_dump_json(indent=2))
        return 0
    for name, value in figure_rows(evaluation):
        print(f"{name:<48} {value}")
    if args.out is not None:
        print(f"report: {args.out / 'report.html'}")
    return 0


def evaluate_to(
    inspector: Inspector, data_set: DataSet, out: Path | None, remarks: Sequence[str] = ()
) -> Evaluation:
    """Evaluate on the test images of a data set, and write the files when `out` is given."""
    total = len(data_set.test)
    with tqdm(total=total, desc="evaluate", unit="image", file=sys.stderr, disable=None) as bar:
        samples = inspect_samples(inspector, data_set.test, bar.update)
    evaluation = evaluate(inspector, data_set.name, samples)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        scale = MapScale(samples, inspector.calibration.threshold_pixel)
        write_bytes(out / "sheet.png", sheet_png(samples, scale))
        write_bytes(out / "histogram.png", score_histogram(samples))
        page = render_report(evaluation, samples, scale, remarks=remarks)
        write_text(out / "report.html", page)
        write_text(out / "result.json", evaluation.model_dump_json(indent=2) + "\n")
    return evaluation
