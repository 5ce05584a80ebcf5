"""Set the thresholds of a bundle from images of good parts, through the artefact
that will run.

No defect is needed. The threshold is the lowest score for which the false reject
rate of further good parts stays below --false-reject-rate, with --confidence; it
holds for any distribution of scores, as long as the images are of independent
parts. With too few images the highest score is taken, and the command says which
rate they support and how many parts the target needs. Images that the model was
trained on are recognised and left out.

examples:
  linewarden calibrate bundles/flange --good parts/flange/train/good
  linewarden calibrate bundles/flange --good parts/flange/train/good \\
      --false-reject-rate 0.001 --confidence 0.99 --recipe 7

files:
  BUNDLE/calibration/RECIPE.json   thresholds, scores, the hash of the artefact
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from calibration.calibrate import CalibrationResult, calibrate
from edge.bundle import REFERENCE_ARTEFACT, open_bundle
from edge.images import list_images


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="bundle to calibrate")
    parser.add_argument(
        "--good", required=True, type=Path, metavar="FOLDER", help="images of good parts"
    )
    parser.add_argument(
        "--false-reject-rate",
        type=float,
        default=0.01,
        metavar="RATE",
        help="share of good parts that may be rejected (default: %(default)s)",
    )
    parser.add_argument(
        "--confidence",
        type=float,
        default=0.95,
        help="probability that the promise holds (default: %(default)s)",
    )
    parser.add_argument("--recipe", default="default", help="name or number (default: %(default)s)")
    parser.add_argument("--engine", default="onnxruntime", help="engine to measure through")
    parser.add_argument("--artefact", default=REFERENCE_ARTEFACT, help="file of the bundle to run")
    parser.add_argument("--threads", type=int, help="threads of the engine (default: all cores)")


def run(args: argparse.Namespace) -> int:
    """Calibrate and report."""
    bundle = open_bundle(args.bundle)
    images = list_images(args.good)
    with tqdm(
        total=len(images), desc="calibrate", unit="image", file=sys.stderr, disable=None
    ) as bar:
        result = calibrate(
            bundle,
            images,
            false_reject_rate=args.false_reject_rate,
            confidence=args.confidence,
            recipe=args.recipe,
            engine=args.engine,
            artefact=args.artefact,
            threads=args.threads,
            report=bar.update,
        )
    for line in describe(result):
        print(line)
    return 0


def describe(result: CalibrationResult) -> list[str]:
    """What the calibration promises, and what it rests on."""
    limit, lines = result.limit, []
    if result.fitted:
        lines.append(f"left out {len(result.fitted)} images that the model was trained on")
    if result.repeated:
        lines.append(f"left out {len(result.repeated)} images that repeat another")
    lines.append(
        f"threshold {limit.threshold:.6g} from {limit.parts} good parts: false reject rate at most "
        f"{limit.bound:.2%} with {limit.confidence:.0%} confidence"
    )
    if not limit.is_met:
        lines.append(
            f"the target of {limit.target:.2%} needs {limit.parts_needed} good parts: "
            f"add {limit.parts_needed - limit.parts} and calibrate again"
        )
    lines.append(f"written to {result.path}")
    return lines
