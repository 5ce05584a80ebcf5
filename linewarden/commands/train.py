"""Learn good parts from a folder of images, and write a run folder.

DATA is a data set in MVTec layout (train/good, test/...), or a plain folder of
images of good parts. A fifth of the good images is held out of fitting, to calibrate
the threshold later. Settings come from --config, then from --set, then from the options
below; the later ones win. Without --config the model is SuperSimpleNet on resnet18 with
the settings of configs/train/supersimplenet-cpu.yaml, which take minutes on a CPU;
--set model.name=memory takes another model, with its own settings.

Unless a configuration gives data.image_size, the input has the proportions of the frames.
Images of several sizes are taken as a range that covers train and test; odd ones are named.

examples:
  linewarden train parts/flange --out runs/flange
  linewarden train parts/flange --out runs/flange --weights resnet18.pth
  linewarden train --config configs/train/supersimplenet.yaml \\
      --set data.folder=parts/flange --set fit.epochs=100 --out runs/flange

After Ctrl-C or a power cut, give the same command again: the training continues and
ends with the same result.

files:
  RUN/run.json             configuration, data and weights by hash, losses
  RUN/model.safetensors    all weights
  RUN/resume.safetensors   only while a training is unfinished

environment:
  LINEWARDEN_WEIGHTS       a weights file, or a folder of weights files by name of
                           the backbone; used without --weights
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from inspection.errors import ConfigError
from inspection.names import printable
from linewarden.options import add_size_arguments, refuse_sizes_out_of_range
from linewarden.training_run import (
    fit_with_progress,
    fitted_to_images,
    load_train_config,
    say,
    weights_setting,
)
from training.checkpoint import refuse_other_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("data", nargs="?", type=Path, metavar="DATA", help="folder of images")
    parser.add_argument(
        "--out", required=True, type=Path, metavar="RUN", help="run folder to write"
    )
    parser.add_argument(
        "--config", type=Path, help="YAML file of settings (see 'linewarden example')"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="one setting by its path in the configuration, for instance fit.epochs=100",
    )
    parser.add_argument(
        "--weights", help="backbone weights: a file, 'hub', 'package', or 'none' (untrained)"
    )
    add_size_arguments(parser)
    parser.add_argument("--device", help="cpu (default) or cuda")
    parser.add_argument("--seed", type=int, help="seed of all random numbers")


def run(args: argparse.Namespace) -> int:
    """Trains and reports."""
    refuse_sizes_out_of_range(args)
    refuse_other_folder(args.out)
    settings = [*args.set, *_options(args)]
    if args.config is None and args.data is None:
        raise ConfigError("there are no images to learn from: give DATA, or --config FILE")
    config = load_train_config(args.config, settings, default_weights=args.weights is None)
    if args.weights is not None:
        if not hasattr(config.model, "backbone"):
            raise ConfigError(f"--weights: {config.model.name} has no pretrained backbone")
        settings += weights_setting(args.weights)
        config = load_train_config(args.config, settings, default_weights=False)
    config = fitted_to_images(
        config, smallest_defect_px=args.smallest_defect_px, budget_ms=args.budget_ms
    )
    record = fit_with_progress(config, args.out)
    epochs = f" in {record.epochs} epochs" if record.epochs else ""
    say(
        f"{args.out}: {len(record.fitted_sha256)} images learnt{epochs}, "
        f"{record.seconds:.0f} s; {len(record.held_out)} held out for calibration"
    )
    for doubt in record.doubts:
        say(f"warning: {doubt}")
    say(f"next: linewarden export {args.out} BUNDLE")
    return 0


def _options(args: argparse.Namespace) -> list[str]:
    """Returns the command-line options as `--set` settings."""
    options: dict[str, Any] = {
        "data.folder": args.data and printable(args.data.resolve()),
        "fit.device": args.device,
        "fit.seed": args.seed,
    }
    return [f"{key}={json.dumps(value)}" for key, value in options.items() if value is not None]
