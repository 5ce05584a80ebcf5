"""List the calibrations of a bundle, compare two of them, restore one, or move the
sensitivity of the active one.

Each calibration keeps its time, author, reason, scores and the seal of the calibration
that it replaced. WHEN is a time as 'list' prints it, the first 8 digits or more of a
seal, or 'active'. A rollback makes the older thresholds active as a new entry and
deletes nothing; the older calibration must be of the artefact that is calibrated now.
'compare' takes two calibrations of one artefact. Its bounds hold for good parts as they
come, not for a selection of false rejects.

'sensitivity' shows thresholds from the good parts of the active calibration, from 0,
which rejects least, to 1. Each line has the expected false reject rate and its upper
bound; --to makes one of them active, as a new entry. With --defects each line also has
the number of your defective parts that would pass, and the upper bound of that share
for defects like these; it does not hold for other kinds of defects. Several images of a
part count as one with --part-name.

'preview' shows the threshold that a calibration with more good parts would have, by
their scores in the records: without any, with the first, with all. It changes nothing.

examples:
  linewarden calibrations list bundles/flange
  linewarden calibrations show bundles/flange 20261121T041401Z --recipe 7
  linewarden calibrations compare bundles/flange 20261121T041401Z active
  linewarden calibrations rollback bundles/flange 20261121T041401Z --reason 'lamp repaired'
  linewarden calibrations sensitivity bundles/flange
  linewarden calibrations sensitivity bundles/flange --defects parts/flange/test/scratch
  linewarden calibrations sensitivity bundles/flange --to 0.4 --reason 'escapes in May'
  linewarden calibrations preview bundles/flange --score 0.61 0.58
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from calibration.escapes import defect_values, escape_rate
from calibration.history import (
    ACTIVE,
    Comparison,
    Entry,
    compare,
    find,
    history,
    recipes,
    roll_back,
)
from calibration.more_good import limit_with
from calibration.sensitivity import move_slider, place_of, slider_of
from calibration.slider_view import slider_view
from inspection.bundle import Bundle, open_bundle
from inspection.bundle.calibration_file import Calibration
from inspection.digits import comparable
from inspection.errors import BundleError
from inspection.images import content_of, list_images
from linewarden.options import add_author_argument, add_part_name_argument, part_name_of
from linewarden.parser import Actions
from linewarden.text_table import aligned
from linewarden.warning import warn
from reports.proportion import Proportion
from training.data.layout import read_data_set

_WHEN = "a time as 'list' prints it, 8 digits or more of a seal, or 'active'"
_HEAD = ("", "time", "threshold", "bound", "parts", "artefact", "author", "reason")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the actions and their options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = _action(actions, "list", "all calibrations, the newest first")
    listing.add_argument("--recipe", help="only this recipe (default: all)")
    showing = _action(actions, "show", "one calibration as JSON")
    showing.add_argument(
        "when", metavar="WHEN", nargs="?", default=ACTIVE, help=f"{_WHEN} (default)"
    )
    comparing = _action(
        actions, "compare", "apply the thresholds of one to the good parts of the other"
    )
    comparing.add_argument("older", metavar="OLDER", help=_WHEN)
    comparing.add_argument(
        "newer", metavar="NEWER", nargs="?", default=ACTIVE, help=f"{_WHEN} (default)"
    )
    back = _action(actions, "rollback", "make an older calibration active again")
    back.add_argument("when", metavar="WHEN", help=_WHEN)
    back.add_argument("--reason", required=True, metavar="TEXT", help="reason, for the history")
    add_author_argument(back)
    slider = _action(actions, "sensitivity", "thresholds along the curve; --to makes one active")
    slider.add_argument(
        "--to",
        type=float,
        metavar="POSITION",
        help="make a position active: 0 rejects least, 1 most",
    )
    slider.add_argument("--reason", default="", metavar="TEXT", help="reason, for the history")
    add_author_argument(slider)
    measured = slider.add_mutually_exclusive_group()
    measured.add_argument("--json", action="store_true", help="print the slider as JSON")
    measured.add_argument(
        "--defects",
        nargs="+",
        default=[],
        type=Path,
        metavar="FOLDER",
        help="images of defective parts, or a data set with some, to count those that would pass",
    )
    add_part_name_argument(slider)
    slider.add_argument(
        "--engine", help="engine that measures them (default: onnxruntime, or that of the build)"
    )
    preview = _action(actions, "preview", "the threshold with more good parts, by their scores")
    preview.add_argument(
        "--score", nargs="+", default=[], type=float, metavar="SCORE", help="raw scores of parts"
    )
    for action in (showing, comparing, back, slider, preview):
        action.add_argument("--recipe", default="default", help="default: %(default)s")
    for action in (listing, comparing, preview):
        action.add_argument("--json", action="store_true", help="print as JSON")


def _action(actions: Actions, name: str, summary: str) -> argparse.ArgumentParser:
    action = actions.add_parser(name, help=summary, description=summary)
    action.add_argument("bundle", type=Path, metavar="BUNDLE", help="calibrated bundle")
    return action


def run(args: argparse.Namespace) -> int:
    """Does one of the actions."""
    bundle = open_bundle(args.bundle)
    if args.action == "list":
        _list(bundle, args.recipe, as_json=args.json)
    elif args.action == "show":
        print(find(bundle, args.recipe, args.when).whole().model_dump_json(indent=2))
    elif args.action == "compare":
        older = find(bundle, args.recipe, args.older).whole()
        newer = find(bundle, args.recipe, args.newer).whole()
        found = compare(older, newer)
        print("\n".join([json.dumps(figures(found), indent=2)] if args.json else describe(found)))
    elif args.action == "sensitivity":
        print("\n".join(_sensitivity(bundle, args)))
    elif args.action == "preview":
        print("\n".join(_preview(bundle, args)))
    else:
        written = roll_back(bundle, args.recipe, args.when, author=args.author, reason=args.reason)
        print(f"recipe {args.recipe}: {written.reason}")
        print(f"threshold {written.thresholds.reject:.6g}")
        print(f"written to {bundle.calibration_path(args.recipe)}")
    return 0


def _preview(bundle: Bundle, args: argparse.Namespace) -> list[str]:
    active = find(bundle, args.recipe, ACTIVE).whole()
    counts = sorted({0, min(1, len(args.score)), len(args.score)})
    limits = {count: limit_with(active, args.score[:count]) for count in counts}
    if args.json:
        steps = [{"more": count, **asdict(limit)} for count, limit in limits.items()]
        found = {"seal": active.seal, "threshold": active.thresholds.reject, "steps": steps}
        return [json.dumps(found)]
    rows = [("more good parts", "parts", "threshold", "bound")]
    rows += [
        (str(count), str(limit.parts), f"{limit.threshold:.6g}", f"{limit.bound:.2%}")
        for count, limit in limits.items()
    ]
    return [f"threshold now: {active.thresholds.reject:.6g}", *aligned(rows, numbers_from=0)]


def _defective(folders: Sequence[Path]) -> list[Path]:
    """Returns the images of defective parts in plain folders, and in data sets as of evaluate."""
    images: list[Path] = []
    for folder in folders:
        if _is_data_set(folder):
            images += [sample.path for sample in read_data_set(folder).test if not sample.is_good]
        else:
            images += list_images(folder, warn)
    return images


def _is_data_set(path: Path) -> bool:
    if path.is_file():
        return True
    content = content_of(path)
    return not content.images and bool(content.subfolders or content.others)


def _sensitivity(bundle: Bundle, args: argparse.Namespace) -> list[str]:
    """Moves the slider where --to asks for it, and returns it as a table."""
    active = find(bundle, args.recipe, ACTIVE).whole()
    defects = (
        defect_values(
            bundle,
            active,
            _defective(args.defects),
            engine=args.engine,
            part_of=part_name_of(args),
        )
        if args.defects
        else []
    )
    if args.to is not None:
        active = move_slider(bundle, active, args.to, author=args.author, reason=args.reason)
    if args.json:
        return [json.dumps(slider_view(bundle, active))]
    curve, now = slider_of(active), place_of(active)
    points = [curve.at(step / 10) for step in range(11)]
    rows = sorted({*points, now}, key=lambda point: (point.position, point != now))
    zones = "".join(f"  {name:>12}" for name in active.zone_thresholds)
    escapes = "       escapes     bound" if defects else ""
    lines = [f"   position{zones or '     threshold'}  expected     bound{escapes}"]
    for point in rows:
        mark = "*" if point == now else " "
        thresholds = "".join(f"  {threshold:>12.6g}" for threshold in point.reject_by_zone)
        line = (
            f"{mark}  {point.position:8.3f}{thresholds}  {point.expected:8.2%}  {point.bound:8.2%}"
        )
        if defects:
            found = escape_rate(defects, point.reject_by_zone, confidence=active.confidence)
            line += f"  {f'{found.count} of {found.total}':>12}  {found.upper:8.2%}"
        lines.append(line)
    about = "" if active.judged is None else "about "
    confidence = f"{about}{active.confidence:.0%} confidence"
    lines.append(f"* now; expected: false reject rate; bound: its upper bound with {confidence}")
    if args.to is not None and f"{now.position:.3f}" != f"{args.to:.3f}":
        lines.append(
            f"note: the scores of the good parts give no threshold for {args.to:g}; the recipe has "
            f"the next below, of {now.position:.3f}"
        )
    if defects:
        what = "parts" if args.part_name else "images"
        lines.append(f"escapes: defective {what} that pass; the bound behind it is of their share")
        if aside := sum(math.inf in values for values in defects):
            lines.append(f"{aside} of these have no verdict: the line sets them aside")
    return lines


def _list(bundle: Bundle, recipe: str | None, *, as_json: bool) -> None:
    names = recipes(bundle) if recipe is None else [recipe]
    if not names:
        raise BundleError(
            f"{bundle.folder}: has no calibration: linewarden calibrate {bundle.folder} "
            "--good FOLDER"
        )
    entries = {name: history(bundle, name) for name in names}
    if as_json:
        print(json.dumps({name: [_record(e) for e in some] for name, some in entries.items()}))
        return
    for name, some in entries.items():
        print(f"recipe {name}")
        print("\n".join(table(some)))


def table(entries: Sequence[Entry]) -> list[str]:
    """Returns the calibrations of one recipe as aligned columns; the active one is marked *."""
    rows = [_HEAD, *(_cells(e.name, e.calibration, e.is_active) for e in entries if e.calibration)]
    return [*aligned(rows), *(f"damaged: {e.damaged}" for e in entries if e.damaged)]


def _cells(name: str, calibration: Calibration, is_active: bool) -> tuple[str, ...]:
    return (
        "*" if is_active else "",
        name,
        f"{calibration.thresholds.reject:.6g}",
        f"{calibration.false_reject_rate_bound:.2%}",
        str(calibration.part_count),
        calibration.artefact,
        calibration.author or "-",
        calibration.reason or "-",
    )


def _record(entry: Entry) -> dict[str, object]:
    found = {"name": entry.name, "active": entry.is_active, "file": str(entry.path)}
    if entry.calibration is None:
        return {**found, "damaged": entry.damaged}
    content = entry.calibration.model_dump(mode="json", exclude={"scores", "parts", "drift"})
    return {**found, "parts": entry.calibration.part_count, **content}


def figures(found: Comparison) -> dict[str, object]:
    """Returns the comparison as JSON values."""
    unseen = found.rejected_unseen
    return {
        "older": {"created_utc": found.older.created_utc, "seal": found.older.seal},
        "newer": {"created_utc": found.newer.created_utc, "seal": found.newer.seal},
        "parts_of_older": found.parts[0],
        "parts_of_newer": found.parts[1],
        "parts_in_both": found.shared,
        "threshold_difference": found.newer.thresholds.reject - found.older.thresholds.reject,
        "threshold_pixel_difference": found.newer.thresholds.pixel - found.older.thresholds.pixel,
        "rejected_by_older": found.rejected.count,
        "rejected_by_older_unseen": None if unseen is None else vars(unseen),
        "rejected_by_newer": found.rejected_by_newer.count,
        "largest_shift": found.largest_shift,
    }


def describe(found: Comparison) -> list[str]:
    """Returns the comparison as text."""
    older, newer = found.older, found.newer
    lines = [
        f"older {older.moment} ({older.seal[:12]}), {found.parts[0]} good parts",
        f"newer {newer.moment} ({newer.seal[:12]}), {found.parts[1]} good parts",
        f"good parts of the newer that the older has seen: {found.shared}",
        _change("threshold", older.thresholds.reject, newer.thresholds.reject),
        _change("pixel threshold", older.thresholds.pixel, newer.thresholds.pixel),
        f"the older threshold rejects {_share(found.rejected)} of the newer's good parts",
    ]
    if found.rejected_unseen is not None:
        unseen = found.rejected_unseen
        lines.append(
            f"  of those it has not seen: {_share(unseen)}, bounds {unseen.lower:.2%} and "
            f"{unseen.upper:.2%} unless they were picked; the older promised at most "
            f"{older.false_reject_rate_bound:.2%}"
        )
    lines.append(f"the newer threshold rejects {_share(found.rejected_by_newer)} of the older's")
    if found.largest_shift:
        lines.append(
            f"note: images in both have other scores, by up to {found.largest_shift:.3g}: the "
            "engine or the machine was another"
        )
    return lines


def _change(name: str, older: float, newer: float) -> str:
    before, after = comparable(older, newer, digits=6)
    return f"{name} {before} -> {after} ({newer - older:+.3g})"


def _share(share: Proportion) -> str:
    return f"{share.count} of {share.total} ({share.rate:.2%})"
