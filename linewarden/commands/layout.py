"""Try another layout of a recipe on parts, and make it active.

Thresholds hold for the zones that they were measured with, so another layout needs other
ones. 'try' measures them from good parts, with the promise of the active calibration: its
false reject rate, confidence, review band, names of parts and lots. It then judges --parts
with both calibrations and lists the parts that get another verdict. Nothing changes.

'take' makes the thresholds and the layout of a saved trial active, as a new entry; nothing
is measured again. It refuses a trial from before another calibration of the recipe.
'linewarden calibrations rollback' restores the calibration before. A running line takes it
at its next changeover or start.

examples:
  linewarden layout try bundles/flange flange-layout.yaml --good shots \\
      --parts records/images/2026/11/21 --save trial.json
  linewarden layout take bundles/flange trial.json --reason 'label beside the bore'
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from calibration.layout_trial import Judged, LayoutTrial, read_trial, take, try_layout
from inspection.bundle import open_bundle
from inspection.files import write_text
from inspection.images import list_images
from inspection.layout.layout_file import read_layout
from linewarden.options import add_author_argument, thread_count
from linewarden.warning import warn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the actions and their options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    trying = actions.add_parser("try", help="judge parts with a layout and without it")
    trying.add_argument("bundle", type=Path, metavar="BUNDLE", help="calibrated bundle")
    trying.add_argument("layout", type=Path, metavar="LAYOUT.yaml", help="zones and alignment")
    trying.add_argument(
        "--good", required=True, nargs="+", type=Path, metavar="FOLDER", help="good parts"
    )
    trying.add_argument(
        "--parts",
        nargs="+",
        default=[],
        type=Path,
        metavar="PATH",
        help="images of parts to judge, or folders with them",
    )
    trying.add_argument("--recipe", default="default", help="default: %(default)s")
    trying.add_argument("--engine", help="engine (default: the choice of linewarden build)")
    trying.add_argument(
        "--threads", type=thread_count, help="threads of the engine (default: all cores)"
    )
    trying.add_argument("--save", type=Path, metavar="TRIAL.json", help="write the trial")
    trying.add_argument("--json", action="store_true", help="print the trial as JSON")
    taking = actions.add_parser("take", help="make a saved trial active")
    taking.add_argument("bundle", type=Path, metavar="BUNDLE", help="calibrated bundle")
    taking.add_argument("trial", type=Path, metavar="TRIAL.json", help="file of 'try --save'")
    taking.add_argument("--reason", required=True, metavar="TEXT", help="reason, for the history")
    add_author_argument(taking)


def run(args: argparse.Namespace) -> int:
    """Does one of the actions."""
    if args.action == "take":
        return _take(args)
    bundle = open_bundle(args.bundle)
    layout = read_layout(args.layout, bundle.manifest.preprocessing)
    good = [path for folder in args.good for path in list_images(folder, warn)]
    parts = _images(args.parts)
    with tqdm(
        total=len(good) + len(parts), desc="try", unit="image", file=sys.stderr, disable=None
    ) as bar:
        trial = try_layout(
            bundle,
            args.recipe,
            layout,
            good,
            parts,
            engine=args.engine,
            threads=args.threads,
            report=bar.update,
        )
    if args.save is not None:
        write_text(args.save, trial.model_dump_json(indent=2) + "\n")
    if args.json:
        print(json.dumps(trial.model_dump(mode="json"), indent=2))
    for line in () if args.json else _described(trial):
        print(line)
    return 0


def _take(args: argparse.Namespace) -> int:
    bundle = open_bundle(args.bundle)
    written = take(bundle, read_trial(args.trial), author=args.author, reason=args.reason)
    print(f"recipe {written.recipe}: threshold {written.thresholds.reject:.6g}")
    print(f"written to {bundle.calibration_path(written.recipe)}")
    return 0


def _images(paths: Sequence[Path]) -> list[Path]:
    return [
        image for path in paths for image in (list_images(path, warn) if path.is_dir() else [path])
    ]


def _described(trial: LayoutTrial) -> list[str]:
    changed = [f"{one.image}: {_word(one.before)} -> {_word(one.after)}" for one in trial.changed]
    gone = [f"{image}: is no longer there" for image in trial.missing]
    count = f"{len(changed)} of {len(trial.parts)} parts get another verdict"
    if not trial.parts:
        count = "no parts were judged: give some with --parts to compare their verdicts"
    return [*trial.statements, *gone, count, *changed]


def _word(judged: Judged) -> str:
    score = "" if judged.score is None else f" {judged.score:.6g}"
    zone = f" in {judged.zone}" if judged.zone else ""
    return f"{judged.verdict.value}{score}{zone}"
