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
from inspection.names import printable
from training.backbones import WEIGHTS_VARIABLE, find_weights
from training.checkpoint import Progress, RunRecord
from training.config import TrainConfig
from training.fit import fit

# The settings of configs/train/supersimplenet-cpu.yaml, for a machine that has only the wheel.
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
        settings: override the file.
        default_weights: whether LINEWARDEN_WEIGHTS replaces the weights "hub" of the configuration.
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
    """Fits with a progress bar on standard error."""
    with tqdm(desc="train", unit="epoch", file=sys.stderr, disable=None) as bar:

        def show(progress: Progress, epochs: int, losses: dict[str, float]) -> None:
            bar.total = epochs
            bar.update(progress.epoch - bar.n)
            bar.set_postfix({name: f"{value:.3f}" for name, value in losses.items()})

        return fit(config, out, show)


@rank_zero_only
def say(message: str) -> None:
    """Writes a line to standard error, from the first process only."""
    sys.stderr.write(message + "\n")


def weights_setting(value: str) -> list[str]:
    """Returns the setting that `--weights` stands for."""
    return [f"model.backbone.weights={json.dumps(weights_value(value))}"]


def weights_value(value: str) -> str:
    """Returns the value of `--weights` for the configuration.

    Raises:
        ConfigError: the value is not a file, "hub" or "none".
    """
    path = Path(value)
    if value not in ("hub", "none") and not path.is_file():
        raise ConfigError(f"--weights {value}: no such file (nor 'hub' or 'none')")
    return value if value in ("hub", "none") else printable(path.resolve())
