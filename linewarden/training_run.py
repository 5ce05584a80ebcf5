"""Configuration and progress of a training, for all commands that train."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

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


def load_train_config(
    path: Path | None, settings: list[str], *, default_weights: bool
) -> TrainConfig:
    """Returns the configuration from a file, or `DEFAULTS`, and `--set` settings.

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
    """Prints a line for the operator, from the first process; results go to files."""
    sys.stderr.write(message + "\n")


def weights_setting(value: str) -> list[str]:
    """Returns the setting for `--weights`; see `weights_value`."""
    return [f"model.backbone.weights={json.dumps(weights_value(value))}"]


def weights_value(value: str) -> str:
    """What `--weights` means: a file, "hub" or "none"; ConfigError when it is none of them."""
    path = Path(value)
    if value not in ("hub", "none") and not path.is_file():
        raise ConfigError(f"--weights {value}: no such file (nor 'hub' or 'none')")
    return value if value in ("hub", "none") else str(path.resolve())
