"""Learn good parts from a folder of images, and write a run folder.

DATA is a data set in MVTec layout (train/good, test/...), or a plain folder of
images of good parts. A fifth of the good images is held out of fitting: the
threshold is calibrated on them later. Settings come from --config, from --set
and from the options below, the later ones win. Without --config it is
SuperSimpleNet on resnet18 with settings that take minutes on a CPU, those of
configs/train/supersimplenet-cpu.yaml.

examples:
  linewarden train parts/flange --out runs/flange
  linewarden train parts/flange --out runs/flange --weights resnet18.pth
  linewarden train --config configs/train/supersimplenet.yaml \\
      --set data.folder=parts/flange --set fit.epochs=100 --out runs/flange

A training that was stopped, by Ctrl-C or by a power cut, goes on where it was
when the same command is given again, and ends with the same result.

files:
  RUN/run.json             configuration, data and weights by hash, losses
  RUN/model.safetensors    all weights
  RUN/resume.safetensors   only while a training is unfinished

environment:
  LINEWARDEN_WEIGHTS       a weights file, or a folder of weights files by name of
                           the backbone; taken when no --weights is given
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from lightning_fabric.utilities import rank_zero_only
from tqdm import tqdm

from inspection.config.loading import load_config
from inspection.errors import ConfigError
from training.backbones import WEIGHTS_VARIABLE, find_weights
from training.checkpoint import Progress, RunRecord
from training.config import TrainConfig
from training.fit import fit

# What --config configs/train/supersimplenet-cpu.yaml says, for a machine that has only the wheel.
DEFAULTS = (
    "model.name=supersimplenet",
    "model.noise_std=auto",
    "model.sampled_grid=16",
    "fit.epochs=1",
    "fit.minimum_steps=400",
    "fit.batch_size=16",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("data", nargs="?", type=Path, metavar="DATA", help="folder of images")
    parser.add_argument(
        "--out", required=True, type=Path, metavar="RUN", help="run folder to write"
    )
    parser.add_argument("--config", type=Path, help="YAML file of settings (see configs/train)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="one setting by its path in the configuration, for instance fit.epochs=100",
    )
    parser.add_argument(
        "--weights", help="backbone weights: a file, 'hub', or 'none' for an untrained backbone"
    )
    parser.add_argument("--device", help="cpu (default) or cuda")
    parser.add_argument("--seed", type=int, help="seed of all random numbers")


def run(args: argparse.Namespace) -> int:
    """Train and report."""
    settings = [*args.set, *_options(args)]
    if args.config is None and args.data is None:
        raise ConfigError("there is nothing to learn from: give DATA, or --config FILE")
    config = load_train_config(args.config, settings, default_weights=args.weights is None)
    if args.weights is not None:
        if not hasattr(config.model, "backbone"):
            raise ConfigError(f"--weights: {config.model.name} has no pretrained backbone")
        settings += weights_setting(args.weights)
        config = load_train_config(args.config, settings, default_weights=False)
    record = fit_with_progress(config, args.out)
    say(
        f"{args.out}: {len(record.fitted_sha256)} images learnt in {record.epochs} epochs, "
        f"{record.seconds:.0f} s; {len(record.held_out)} held out for calibration"
    )
    for doubt in record.doubts:
        say(f"warning: {doubt}")
    say(f"next: linewarden export {args.out} BUNDLE")
    return 0


def load_train_config(
    path: Path | None, settings: list[str], *, default_weights: bool
) -> TrainConfig:
    """The configuration from a file, or `DEFAULTS`, and `--set` settings.

    Args:
        path: None starts from `DEFAULTS`.
        settings: they win over the file.
        default_weights: let LINEWARDEN_WEIGHTS name the weights where the configuration says "hub".
    """
    source = path or Path(os.devnull)
    settings = settings if path is not None else [*DEFAULTS, *settings]
    config = load_config(source, TrainConfig, settings)
    backbone = getattr(config.model, "backbone", None)
    if default_weights and backbone is not None and backbone.weights == "hub":
        found = find_weights(backbone.name)
        if found is not None:
            say(f"backbone weights: {found} ({WEIGHTS_VARIABLE})")
            return load_config(
                source, TrainConfig, [*settings, f"model.backbone.weights={json.dumps(found)}"]
            )
    return config


def fit_with_progress(config: TrainConfig, out: Path) -> RunRecord:
    """Fit with a progress bar on stderr; see `fit`."""
    with tqdm(desc="train", unit="epoch", file=sys.stderr, disable=None) as bar:

        def show(progress: Progress, epochs: int, losses: dict[str, float]) -> None:
            bar.total = epochs
            bar.update(progress.epoch - bar.n)
            bar.set_postfix({name: f"{value:.3f}" for name, value in losses.items()})

        return fit(config, out, show)


@rank_zero_only
def say(message: str) -> None:
    """A line for the person who watches, from the first process; results go to files."""
    sys.stderr.write(message + "\n")


def _options(args: argparse.Namespace) -> list[str]:
    """Command-line options as `--set` settings."""
    options: dict[str, Any] = {
        "data.folder": args.data and str(args.data.resolve()),
        "fit.device": args.device,
        "fit.seed": args.seed,
    }
    return [f"{key}={json.dumps(value)}" for key, value in options.items() if value is not None]


def weights_setting(value: str) -> list[str]:
    """The setting for `--weights`; see `weights_value`."""
    return [f"model.backbone.weights={json.dumps(weights_value(value))}"]


def weights_value(value: str) -> str:
    """What `--weights` means: a file, "hub" or "none"; ConfigError when it is none of them."""
    path = Path(value)
    if value not in ("hub", "none") and not path.is_file():
        raise ConfigError(f"--weights {value}: no such file (nor 'hub' or 'none')")
    return value if value in ("hub", "none") else str(path.resolve())
