"""Set the thresholds of a bundle from images of good parts, through the artefact
that will run.

The command needs no defects. The threshold is the lowest score that keeps the false
reject rate of further good parts below --false-reject-rate, with --confidence. It holds
for any distribution of scores, as long as the images show independent parts. With too
few images the command takes the highest score, and reports the rate that they support
and the number of parts that the target needs. It leaves out the images of the training,
and with --part-name all others of their parts.

With --layout, polygons mark the inspected and the ignored areas, and a mark locates the
part; docs/guides/zones.md describes the file. Each zone has its own thresholds. The
promise holds for all zones together, which takes more parts: 299 for 1 % with one zone,
473 with two, 628 with three. A recipe keeps its layout in later calibrations, until
--whole-frame.

Parts of one lot (day, batch, tool) are more alike than parts of others: with --lot-name
the promise holds for parts of new lots. When the number of parts cannot promise the
rate, --extrapolate takes the threshold from a model of the highest scores, and reports
that it did.

The previous calibration is kept: 'linewarden calibrations' lists, compares and restores
it. When somebody calibrates the recipe while the command measures, it changes nothing
and says so. Add good parts that the line rejected with --more-good. They raise the
threshold, which keeps the promise and may let more defects pass: check with evaluate or
acceptance.

Images that stand out, by marks or as other parts, are named with the threshold without
them, and shown in the report. They count until you leave them out with --without.

examples:
  linewarden calibrate bundles/flange --good parts/flange/train/good
  linewarden calibrate bundles/flange --good parts/flange/train/good \\
      --false-reject-rate 0.001 --confidence 0.99 --recipe 7
  linewarden calibrate bundles/flange --good shots --review-rate 0.05 \\
      --part-name '^(.*)_view'
      (part12_view1.png and part12_view2.png show one part)
  linewarden calibrate bundles/flange --good shots --layout flange-layout.yaml
  linewarden calibrate bundles/flange --good shots --lot-name '^(lot\\d+)_'
  linewarden calibrate bundles/flange --good shots --more-good false-rejects \\
      --author 'A. Inspector' --reason 'new lamp' --report calibration.html

  linewarden calibrate bundles/flange --good shots --without 017.png --without 023.png

files:
  BUNDLE/calibration/RECIPE.json            thresholds, scores, the hash of the artefact
  BUNDLE/calibration/history/RECIPE/*.json  the replaced calibrations
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from calibration.calibrate import CalibrationResult, CalibrationSettings, calibrate
from calibration.pixels import AREAS
from calibration.statements import describe
from calibration.thresholds import CalibrationTargets
from inspection.bundle import Bundle, open_bundle
from inspection.errors import BundleError, ConfigError
from inspection.images import NameExpression, list_images
from inspection.inspector import Inspector
from inspection.layout import Layout
from inspection.layout.layout_file import read_layout
from linewarden.options import (
    add_author_argument,
    add_inspector_arguments,
    add_part_name_argument,
    add_rate_argument,
    open_inspector,
    part_name_of,
    server_of,
)
from linewarden.warning import warn
from linewarden.without import add_without_argument, named_by_hash

ReportWriter = Callable[[Path, CalibrationResult, Inspector], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="bundle to calibrate")
    _add_images(parser)
    _add_targets(parser)
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument(
        "--layout", type=Path, metavar="FILE.yaml", help="zones and alignment of the recipe"
    )
    shape.add_argument("--whole-frame", action="store_true", help="remove the layout of the recipe")
    add_author_argument(parser)
    parser.add_argument("--reason", default="", metavar="TEXT", help="reason, for the history")
    parser.add_argument(
        "--report", type=Path, metavar="FILE.html", help="write a page with histogram and pictures"
    )
    add_inspector_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the calibration as JSON")


def _add_images(parser: argparse.ArgumentParser) -> None:
    """Declares the images, and the names of parts and lots in them."""
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
    add_without_argument(parser)
    add_part_name_argument(parser)
    parser.add_argument(
        "--lot-name",
        metavar="REGEX",
        help="names the lot of an image in its file name, for parts that come in lots",
    )


def _add_targets(parser: argparse.ArgumentParser) -> None:
    """Declares the promise."""
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
        help="share of good parts that may be reviewed or rejected; makes a review band",
    )
    parser.add_argument(
        "--minimum-area",
        type=int,
        choices=AREAS,
        metavar="PX",
        help="smallest region of the defect mask, in pixels of the anomaly map: "
        f"{', '.join(map(str, AREAS))} (default: from the good parts)",
    )
    parser.add_argument(
        "--extrapolate",
        action="store_true",
        help="take the threshold from a model of the tail when the parts cannot promise the rate",
    )


def run(args: argparse.Namespace) -> int:
    """Calibrates and reports."""
    write_report = report_writer() if args.report else None
    bundle = open_bundle(args.bundle)
    bundle.keys.require_for_records()
    replaces = bundle.active_seal(args.recipe)  # first: the layout may come from a later one
    layout = _layout(args, bundle)
    folders = (args.good, *args.more_good)
    images = [path for folder in folders for path in list_images(folder, warn)]
    with tqdm(
        total=len(images), desc="calibrate", unit="image", file=sys.stderr, disable=None
    ) as bar:
        result = calibrate(
            bundle,
            images,
            _targets(args),
            CalibrationSettings(
                recipe=args.recipe,
                layout=layout,
                engine=args.engine,
                artefact=args.artefact,
                threads=args.threads,
                server=server_of(args, bundle),
                without=named_by_hash(args.without, images),
            ),
            report=bar.update,
            author=args.author,
            reason=args.reason,
            replaces=replaces,
        )
    if args.json:
        print(result.calibration.model_dump_json(indent=2))
    for line in () if args.json else describe(result):
        print(line)
    if write_report is not None:
        _report(write_report, args, bundle, result)
    return 0


def report_writer() -> ReportWriter:
    """Loads the only module that needs jinja2, before anything is measured."""
    from calibration.report import write_calibration_report  # noqa: PLC0415 - optional package

    return write_calibration_report


def _report(
    write: ReportWriter, args: argparse.Namespace, bundle: Bundle, result: CalibrationResult
) -> None:
    with open_inspector(args, bundle) as inspector:
        write(args.report, result, inspector)
    print(f"report: {args.report}", file=sys.stderr if args.json else sys.stdout)


def _layout(args: argparse.Namespace, bundle: Bundle) -> Layout | None:
    """Returns the given layout, or else the layout of the recipe.

    Raises:
        ConfigError: no layout is given, and the active calibration is damaged.
    """
    if args.layout is not None:
        return read_layout(args.layout, bundle.manifest.preprocessing)
    path = bundle.calibration_path(args.recipe)
    if args.whole_frame or not path.exists():
        return None
    mend = "give --layout FILE.yaml or --whole-frame: the zones of the recipe are not known"
    try:
        active = bundle.read_calibration(path, mend)
    except BundleError as error:
        raise ConfigError(str(error)) from error
    if active.layout is not None:
        kept = f"layout of the calibration of {active.created_utc}: {described(active.layout)}"
        print(kept, file=sys.stderr if args.json else sys.stdout)
    return active.layout


def described(layout: Layout) -> str:
    """Returns the zones of a layout in words."""
    names = ", ".join(zone.name for zone in layout.zones) or "whole frame"
    ignored = f", {len(layout.ignore)} ignored" if layout.ignore else ""
    return f"{names}{ignored}{', aligned to a mark' if layout.alignment else ''}"


def _targets(args: argparse.Namespace) -> CalibrationTargets:
    return CalibrationTargets(
        args.false_reject_rate,
        args.confidence,
        args.review_rate,
        args.minimum_area,
        part_name_of(args),
        NameExpression("--lot-name", args.lot_name) if args.lot_name else None,
        args.extrapolate,
    )
