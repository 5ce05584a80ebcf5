"""Make a calibrated bundle from a folder of good parts, in the minutes you have.

The command reads every image and chooses model, input size and number of training steps
by the number of images, their proportions and the time. Then it trains, exports,
calibrates on held-out images, and reports the false reject rate to expect. It prints its
choices and keeps them in BUNDLE-run/run.json; use 'linewarden train' to choose yourself.

It first measures the time of a step on this machine. The time is approximate: reading
the images, export and calibration are not part of it.

examples:
  linewarden teach --good parts/flange --out bundles/flange
  linewarden teach --good parts/flange --out bundles/flange --minutes 20
  linewarden teach --good parts/flange --out bundles/flange --weights resnet18.pth

files:
  BUNDLE          for a device, calibrated for the recipe 'default'
  BUNDLE-run      the training, for 'linewarden export' and 'linewarden train'
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from calibration.calibrate import calibrate
from calibration.statements import describe
from calibration.thresholds import CalibrationTargets
from export.bundle import export_bundle
from inspection.bundle import open_bundle
from inspection.config.loading import dump_yaml, load_config
from inspection.errors import BundleError, ConfigError
from inspection.files import write_text
from linewarden.options import add_rate_argument
from linewarden.training_run import fit_with_progress, say, weights_value
from training.backbones import BackboneConfig
from training.checkpoint import RUN, load_run
from training.config import TrainConfig
from training.data.layout import read_data_set
from training.data.survey import survey
from training.teaching import measure_pace, plan_training
from training.weights_source import choose_source

_PLAN = "teach.yaml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument(
        "--good", required=True, type=Path, metavar="FOLDER", help="images of good parts"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="BUNDLE", help="bundle to write")
    parser.add_argument(
        "--minutes", type=float, default=5.0, help="time for the training (default: %(default)s)"
    )
    add_rate_argument(parser)
    parser.add_argument("--weights", help="backbone weights: a file, 'hub', or 'none' (untrained)")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--seed", type=int, default=42, help="default: %(default)s")


def run(args: argparse.Namespace) -> int:
    """Teaches and reports."""
    if args.out.exists():
        raise BundleError(f"{args.out}: exists; choose another folder")
    if not args.minutes > 0:
        raise ConfigError(f"--minutes {args.minutes:g}: must be above 0")
    run_folder = args.out.with_name(f"{args.out.name}-run")
    if not (run_folder / RUN).exists():
        fit_with_progress(_planned(args, run_folder), run_folder)
    record, _ = load_run(run_folder)
    for doubt in record.doubts:
        say(f"warning: {doubt}")
    export_bundle(run_folder, args.out, report=say)
    held_out = [held.path for held in record.held_out]
    result = calibrate(open_bundle(args.out), held_out, CalibrationTargets(args.false_reject_rate))
    for line in describe(result):
        print(line)
    print(f"next: linewarden inspect --bundle {args.out} IMAGE...")
    return 0


def _planned(args: argparse.Namespace, run_folder: Path) -> TrainConfig:
    """Returns the plan of an interrupted call with the same run folder, or a new one."""
    kept = run_folder / _PLAN
    if kept.exists():
        say(f"{run_folder}: continuing an earlier training; remove it to plan again")
        return load_config(kept, TrainConfig)
    samples = survey(read_data_set(args.good).good)
    backbone = BackboneConfig()
    weights = weights_value(args.weights) if args.weights else _found(backbone.name)
    fixed: dict[str, dict[str, Any]] = {
        "data": {"folder": str(args.good.resolve())},
        "model": {"backbone": {"weights": weights}},
        "fit": {"device": args.device, "seed": args.seed},
    }
    plan = plan_training(samples, fixed, seconds=60 * args.minutes, measure=measure_pace)
    for reason in plan.reasons:
        say(reason)
    run_folder.mkdir(parents=True, exist_ok=True)
    write_text(kept, dump_yaml(plan.config))
    return plan.config


def _found(backbone: str) -> str:
    source = choose_source([backbone])
    say(source.remark)
    return source.weights
