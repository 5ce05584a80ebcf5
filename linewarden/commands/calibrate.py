"""Set the thresholds of a bundle from images of good parts, through the artefact
that will run.

No defect is needed. The threshold is the lowest score for which the false reject
rate of further good parts stays below --false-reject-rate, with --confidence; it
holds for any distribution of scores, as long as the images are of independent
parts. With too few images the highest score is taken, and the command says which
rate they support and how many parts the target needs. Images that the model was
trained on are recognised and left out.

The calibration that was active before is kept: linewarden calibrations lists, compares
and brings back. Good parts that the line rejected join the set by --more-good: they
raise the threshold, which keeps the promise on the safe side and may let more defects
pass; check with evaluate or acceptance.

examples:
  linewarden calibrate bundles/flange --good parts/flange/train/good
  linewarden calibrate bundles/flange --good parts/flange/train/good \\
      --false-reject-rate 0.001 --confidence 0.99 --recipe 7
  linewarden calibrate bundles/flange --good shots --review-rate 0.05 \\
      --part-name '^(.*)_view'
      (part12_view1.png and part12_view2.png are one part)
  linewarden calibrate bundles/flange --good shots --more-good false-rejects \\
      --author 'A. Inspector' --reason 'new lamp' --report calibration.html

files:
  BUNDLE/calibration/RECIPE.json            thresholds, scores, the hash of the artefact
  BUNDLE/calibration/history/RECIPE/*.json  the calibrations it replaced
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from calibration.calibrate import CalibrationResult, Wish, calibrate
from calibration.drift import FEWEST_PARTS
from calibration.pixels import AREAS
from edge.bundle import REFERENCE_ARTEFACT, Bundle, open_bundle
from edge.errors import ConfigError
from edge.images import list_images
from edge.inspector import Inspector

ReportWriter = Callable[[Path, CalibrationResult, Inspector], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="bundle to calibrate")
    parser.add_argument(
        "--good", required=True, type=Path, metavar="FOLDER", help="images of good parts"
    )
    parser.add_argument(
        "--more-good",
        action="append",
        default=[],
        type=Path,
        metavar="FOLDER",
        help="more images of good parts, such as false rejects; may be repeated",
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
    parser.add_argument(
        "--review-rate",
        type=float,
        metavar="RATE",
        help="share of good parts that may be reviewed or rejected; gives a review band",
    )
    parser.add_argument(
        "--minimum-area",
        type=int,
        choices=AREAS,
        metavar="PX",
        help="smallest region of the defect mask, in pixels of the anomaly map: "
        f"{', '.join(map(str, AREAS))} (default: as good parts need it)",
    )
    parser.add_argument(
        "--part-name",
        metavar="REGEX",
        help="what in a file's name says which part it shows, where a part has several images",
    )
    parser.add_argument(
        "--author",
        default=os.environ.get("USER", ""),
        help="who calibrates (default: the user's name)",
    )
    parser.add_argument("--reason", default="", metavar="TEXT", help="why; kept in the history")
    parser.add_argument(
        "--report", type=Path, metavar="FILE.html", help="write a page with histogram and pictures"
    )
    parser.add_argument("--recipe", default="default", help="name or number (default: %(default)s)")
    parser.add_argument("--engine", default="onnxruntime", help="engine to measure through")
    parser.add_argument("--artefact", default=REFERENCE_ARTEFACT, help="file of the bundle to run")
    parser.add_argument("--threads", type=int, help="threads of the engine (default: all cores)")


def run(args: argparse.Namespace) -> int:
    """Calibrate and report."""
    write_report = _report_writer() if args.report else None
    bundle = open_bundle(args.bundle)
    bundle.keys.require_for_records()
    images = [path for folder in (args.good, *args.more_good) for path in list_images(folder)]
    with tqdm(
        total=len(images), desc="calibrate", unit="image", file=sys.stderr, disable=None
    ) as bar:
        result = calibrate(
            bundle,
            images,
            _wish(args),
            recipe=args.recipe,
            engine=args.engine,
            artefact=args.artefact,
            threads=args.threads,
            report=bar.update,
            author=args.author,
            reason=args.reason,
        )
    for line in describe(result):
        print(line)
    if write_report is not None:
        _report(write_report, args, bundle, result)
    return 0


def _report_writer() -> ReportWriter:
    """The only part that needs jinja2, loaded before anything is measured."""
    from calibration.report import write_calibration_report  # noqa: PLC0415 - optional package

    return write_calibration_report


def _report(
    write: ReportWriter, args: argparse.Namespace, bundle: Bundle, result: CalibrationResult
) -> None:
    with Inspector.open(
        bundle, args.recipe, engine=args.engine, artefact=args.artefact, threads=args.threads
    ) as inspector:
        write(args.report, result, inspector)
    print(f"report: {args.report}")


def _wish(args: argparse.Namespace) -> Wish:
    part_of = part_namer(args.part_name) if args.part_name else None
    return Wish(
        args.false_reject_rate, args.confidence, args.review_rate, args.minimum_area, part_of
    )


def part_namer(expression: str) -> Callable[[Path], str]:
    """Names the part of an image by the first group, or the whole, of what matches in its name.

    Raises:
        ConfigError: no regular expression; and, when it is called, a name that does not match.
    """
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise ConfigError(f"--part-name {expression}: no regular expression ({error})") from error

    def part_of(path: Path) -> str:
        found = pattern.search(path.name)
        if found is None:
            raise ConfigError(f"--part-name {expression}: does not match the name of {path}")
        return found[1] if pattern.groups else found[0]

    return part_of


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
    if result.review is not None:
        lines.append(
            f"review from {result.review.threshold:.6g} on: at most {result.review.bound:.2%} of "
            "good parts are reviewed or rejected"
        )
    pixel = result.pixel
    lines.append(
        f"mask: map above {pixel.threshold:.6g}, regions of {pixel.minimum_area} px or more: at "
        f"most {pixel.mask_rate_bound:.2%} of good parts show one"
    )
    drift = result.calibration.drift
    lines.append(
        f"drift: watched against these images, one false alarm in {drift.run_length:g} good parts"
        if drift is not None
        else f"drift: not watched; that takes {FEWEST_PARTS} images of good parts"
    )
    lines.append(f"written to {result.path}")
    return lines
