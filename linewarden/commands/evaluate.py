"""Measure a calibrated bundle on labelled images, through its artefact.

DATA has a folder test/good and folders test/<defect>, with masks in
ground_truth/<defect> for the pixel figures. The command tunes nothing: it takes the
calibrated threshold, and no test image changes it. It refuses images of the training.
The classification report has the form of scikit-learn's: PASS predicts good, REJECT
defective, REVIEW neither; a part without a verdict is left out.

With --part-name the rates, their bounds and the report are of parts with several images
in a folder: a part takes the worst verdict of its images, as on the line. The figures of
scores and maps stay those of images.

examples:
  linewarden evaluate bundles/flange parts/flange
  linewarden evaluate bundles/flange parts/flange --recipe 7 --out evaluation
  linewarden evaluate bundles/flange parts/flange --part-name '^(.*)_view'
  linewarden evaluate bundles/flange parts/flange --json | jq .escape_rate
  linewarden evaluate bundles/flange parts/flange --json | jq .classification.macro

files, in OUT (default: BUNDLE-evaluation/DATA/RECIPE):
  result.json     all figures with counts and 95% bounds, engines, hashes, score of each image
  report.html     figures, histogram and pictures on one page, without a network
  sheet.png       chosen parts: frame, ground truth, anomaly map, mask, outline
  histogram.png   scores of good and defective parts
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from linewarden.classification_text import classification_lines
from linewarden.options import (
    add_inspector_arguments,
    add_part_name_argument,
    open_inspector,
    part_name_of,
)
from training.data.layout import read_data_set
from training.evaluation_files import evaluate_to
from training.report import engine_lines, figure_rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="calibrated bundle")
    parser.add_argument("data", type=Path, metavar="DATA", help="data set with test images")
    add_inspector_arguments(parser)
    add_part_name_argument(parser)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="folder for the files")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def run(args: argparse.Namespace) -> int:
    """Evaluates and reports."""
    data_set, part_of = read_data_set(args.data), part_name_of(args)
    bundle = args.bundle.resolve()
    out = args.out or bundle.with_name(f"{bundle.name}-evaluation") / data_set.name / args.recipe
    total = len(data_set.test)
    with (
        open_inspector(args, bundle) as inspector,
        tqdm(total=total, desc="evaluate", unit="image", file=sys.stderr, disable=None) as bar,
    ):
        evaluation = evaluate_to(inspector, data_set, out, part_of=part_of, report=bar.update)
    if args.json:
        print(evaluation.model_dump_json(indent=2))
        return 0
    print(f"{data_set.name}: {evaluation.good} good and {evaluation.defective} defective parts")
    for name, value in figure_rows(evaluation):
        print(f"  {name:<28} {value}")
    for line in engine_lines(evaluation):
        print(f"engine: {line}")
    for line in classification_lines(evaluation.classification, "parts"):
        print(line)
    for doubt in evaluation.doubts:
        print(f"note: {doubt}")
    print(f"report: {out / 'report.html'}")
    return 0
