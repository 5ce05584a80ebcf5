"""Measure a calibrated bundle on labelled images, through its artefact.

DATA has a folder test/good and folders test/<defect>, with masks in
ground_truth/<defect> for the pixel figures. Nothing is tuned here: the threshold
is the calibrated one, and no test image changes it. Images that the model was
trained on are refused.

examples:
  linewarden evaluate bundles/flange parts/flange
  linewarden evaluate bundles/flange parts/flange --recipe 7 --out evaluation
  linewarden evaluate bundles/flange parts/flange --json | jq .escape_rate

files, in OUT (default: BUNDLE-evaluation/DATA/RECIPE):
  result.json     all figures with counts and 95% bounds, hashes, score of each image
  report.html     figures, histogram and pictures on one page, without a network
  sheet.png       chosen parts: frame, ground truth, anomaly map, mask, outline
  histogram.png   scores of good and defective parts
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from inspection.bundle import REFERENCE_ARTEFACT
from inspection.files import write_bytes, write_text
from inspection.images import encode_png
from inspection.inspector import Inspector
from training.data.data_set import DataSet
from training.data.layout import read_data_set
from training.evaluation import Evaluation, evaluate
from training.figures import figure_sheet, histogram
from training.inspected import inspect_samples
from training.report import figure_rows, write_report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="calibrated bundle")
    parser.add_argument("data", type=Path, metavar="DATA", help="data set with test images")
    parser.add_argument("--recipe", default="default", help="calibration (default: %(default)s)")
    parser.add_argument("--engine", default="onnxruntime", help="engine (default: %(default)s)")
    parser.add_argument("--artefact", default=REFERENCE_ARTEFACT, help="file of the bundle to run")
    parser.add_argument("--threads", type=int, help="threads of the engine (default: all cores)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the files go")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def run(args: argparse.Namespace) -> int:
    """Evaluate and report."""
    data_set = read_data_set(args.data)
    bundle = args.bundle.resolve()
    out = args.out or bundle.with_name(f"{bundle.name}-evaluation") / data_set.name / args.recipe
    with Inspector.open(
        bundle, args.recipe, engine=args.engine, artefact=args.artefact, threads=args.threads
    ) as inspector:
        evaluation = evaluate_to(inspector, data_set, out)
    if args.json:
        print(evaluation.model_dump_json(indent=2))
        return 0
    print(f"{data_set.name}: {evaluation.good} good and {evaluation.defective} defective parts")
    for name, value in figure_rows(evaluation):
        print(f"  {name:<28} {value}")
    for doubt in evaluation.doubts:
        print(f"note: {doubt}")
    print(f"report: {out / 'report.html'}")
    return 0


def evaluate_to(
    inspector: Inspector, data_set: DataSet, out: Path, remarks: Sequence[str] = ()
) -> Evaluation:
    """Evaluate on the test images of a data set, and write the files into the folder `out`.

    Each file is replaced atomically, result.json last; others in `out` stay. `remarks` stand first
    among the notices of the report.
    """
    total = len(data_set.test)
    with tqdm(total=total, desc="evaluate", unit="image", file=sys.stderr, disable=None) as bar:
        inspected = inspect_samples(inspector, data_set.test, bar.update)
    evaluation = evaluate(inspector, data_set.name, inspected)
    out.mkdir(parents=True, exist_ok=True)
    write_bytes(out / "sheet.png", encode_png(figure_sheet(inspected, evaluation)))
    write_bytes(out / "histogram.png", histogram(inspected, evaluation))
    title = f"Inspection of {data_set.name}"
    write_report(out / "report.html", title, evaluation, inspected, notices=remarks)
    write_text(out / "result.json", evaluation.model_dump_json(indent=2) + "\n")
    return evaluation
