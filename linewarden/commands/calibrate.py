"""Set the thresholds of a bundle from images of good parts, through the artefact
that will run.

No defect is needed. The threshold is the lowest score for which the false reject
rate of further good parts stays below --false-reject-rate, with --confidence; it
holds for any distribution of scores, as long as the images are of independent
parts. With too few images the highest score is taken, and the command says which
rate they support and how many parts the target needs. Images that the model was
trained on are recognised and left out.

With --layout, polygons say what is inspected and what is ignored, and a mark tells
where the part lies; docs/guides/zones.md has the file. Each zone gets thresholds of its own,
and the promise holds for all zones together, which takes more parts: 299 for 1 % with
one zone, 473 with two, 628 with three. A recipe keeps its layout when it is calibrated
again, until --whole-frame.

Parts that came in lots (days, batches, tools) are more alike within a lot: with
--lot-name the promise is made for parts of new lots. Where the rate is lower than the
number of parts can promise, --extrapolate takes the threshold that a model of the
highest scores gives, and says so.

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
  linewarden calibrate bundles/flange --good shots --layout flange-layout.yaml
  linewarden calibrate bundles/flange --good shots --lot-name '^(lot\\d+)_'
  linewarden calibrate bundles/flange --good shots --more-good false-rejects \\
      --author 'A. Inspector' --reason 'new lamp' --report calibration.html

files:
  BUNDLE/calibration/RECIPE.json            thresholds, scores, the hash of the artefact
  BUNDLE/calibration/history/RECIPE/*.json  the calibrations it replaced
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from calibration.calibrate import CalibrationResult, calibrate
from calibration.pixels import AREAS
from calibration.statements import describe
from calibration.thresholds import CalibrationTargets
from inspection.bundle import Bundle, open_bundle
from inspection.errors import BundleError, ConfigError
from inspection.images import list_images
from inspection.inspector import Inspector
from inspection.layout import Layout, read_layout
from linewarden.options import (
    add_author_argument,
    add_inspector_arguments,
    add_rate_argument,
    open_inspector,
)

ReportWriter = Callable[[Path, CalibrationResult, Inspector], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="bundle to calibrate")
    _add_images(parser)
    _add_targets(parser)
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument(
        "--layout", type=Path, metavar="FILE.yaml", help="zones and alignment of the recipe"
    )
    shape.add_argument(
        "--whole-frame", action="store_true", help="give up the layout that the recipe has"
    )
    add_author_argument(parser)
    parser.add_argument("--reason", default="", metavar="TEXT", help="why; kept in the history")
    parser.add_argument(
        "--report", type=Path, metavar="FILE.html", help="write a page with histogram and pictures"
    )
    add_inspector_arguments(parser)


def _add_images(parser: argparse.ArgumentParser) -> None:
    """What is measured, and what belongs together in it."""
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
        "--part-name",
        metavar="REGEX",
        help="what in a file's name says which part it shows, where a part has several images",
    )
    parser.add_argument(
        "--lot-name",
        metavar="REGEX",
        help="what in a file's name says which lot its part came from, where parts come in lots",
    )


def _add_targets(parser: argparse.ArgumentParser) -> None:
    """What is to be promised."""
    add_rate_argument(parser)
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
        "--extrapolate",
        action="store_true",
        help="where the parts cannot promise the rate, take the threshold of a model of their tail",
    )


def run(args: argparse.Namespace) -> int:
    """Calibrate and report."""
    write_report = _report_writer() if args.report else None
    bundle = open_bundle(args.bundle)
    bundle.keys.require_for_records()
    layout = _layout(args, bundle)
    images = [path for folder in (args.good, *args.more_good) for path in list_images(folder)]
    with tqdm(
        total=len(images), desc="calibrate", unit="image", file=sys.stderr, disable=None
    ) as bar:
        result = calibrate(
            bundle,
            images,
            _targets(args),
            recipe=args.recipe,
            layout=layout,
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
    """Returns the only part that needs jinja2, loaded before anything is measured."""
    from calibration.report import write_calibration_report  # noqa: PLC0415 - optional package

    return write_calibration_report


def _report(
    write: ReportWriter, args: argparse.Namespace, bundle: Bundle, result: CalibrationResult
) -> None:
    with open_inspector(args, bundle) as inspector:
        write(args.report, result, inspector)
    print(f"report: {args.report}")


def _layout(args: argparse.Namespace, bundle: Bundle) -> Layout | None:
    """Returns the layout that is given, or else that of the recipe.

    Raises:
        ConfigError: it is not given, and the active calibration is damaged.
    """
    if args.layout is not None:
        return read_layout(args.layout, bundle.manifest.preprocessing)
    path = bundle.calibration_path(args.recipe)
    if args.whole_frame or not path.exists():
        return None
    mend = "say --layout FILE.yaml or --whole-frame: whether the recipe has zones is not known"
    try:
        active = bundle.read_calibration(path, mend)
    except BundleError as error:
        raise ConfigError(str(error)) from error
    if active.layout is not None:
        print(f"layout of the calibration of {active.created_utc}: {described(active.layout)}")
    return active.layout


def described(layout: Layout) -> str:
    """What a layout holds, in words."""
    names = ", ".join(zone.name for zone in layout.zones) or "whole frame"
    ignored = f", {len(layout.ignore)} ignored" if layout.ignore else ""
    return f"{names}{ignored}{', aligned to a mark' if layout.alignment else ''}"


def _targets(args: argparse.Namespace) -> CalibrationTargets:
    return CalibrationTargets(
        args.false_reject_rate,
        args.confidence,
        args.review_rate,
        args.minimum_area,
        namer("--part-name", args.part_name) if args.part_name else None,
        namer("--lot-name", args.lot_name) if args.lot_name else None,
        args.extrapolate,
    )


def namer(option: str, expression: str) -> Callable[[Path], str]:
    """Names what an image belongs to by the first group, or the whole, of what matches in its name.

    Raises:
        ConfigError: no regular expression; and, when it is called, a name that does not match.
    """
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise ConfigError(f"{option} {expression}: no regular expression ({error})") from error

    def name_of(path: Path) -> str:
        found = pattern.search(path.name)
        if found is None:
            raise ConfigError(f"{option} {expression}: does not match the name of {path}")
        return found[1] if pattern.groups else found[0]

    return name_of
