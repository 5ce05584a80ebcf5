"""Configuration and progress of a training, for all commands that train."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from lightning_fabric.utilities import rank_zero_only
from tqdm import tqdm

from inspection.config.loading import load_config
from inspection.errors import ConfigError
from inspection.names import printable
from training.checkpoint import Progress, RunRecord
from training.config import TrainConfig
from training.data.layout import read_data_set
from training.data.survey import survey
from training.evidence_record import Evidence
from training.first_look import (
    described,
    fitting_size,
    frames_of,
    is_size_open,
    refuse_told_size,
)
from training.fit import fit
from training.weights_source import BACKBONES, WEIGHTS_VARIABLE, named_source

# The settings of configs/train/supersimplenet-cpu.yaml, for a machine that has only the wheel.
DEFAULTS = (
    "model.name=supersimplenet",
    "model.noise_std=auto",
    "model.sampled_grid=16",
    "fit.epochs=1",
    "fit.minimum_steps=400",
    "fit.batch_size=16",
)


PLACES = ("hub", "package", "none")  # of weights that are not a file


def load_train_config(
    path: Path | None, settings: list[str], *, default_weights: bool
) -> TrainConfig:
    """Returns the configuration from a file, or `DEFAULTS`, and `--set` settings.

    Settings that choose another model than the one of `DEFAULTS` start from its own.

    The weights are a place that has them, and a backbone without a name is one that fits to them.

    Args:
        path: None starts from `DEFAULTS`.
        settings: override the file.
        default_weights: whether to look for weights: instead of "auto", and instead of "hub" where
            LINEWARDEN_WEIGHTS is set.
    """
    chooses = any(setting.partition("=")[0] in ("model", "model.name") for setting in settings)
    if path is None and not (chooses and DEFAULTS[0] not in settings):
        settings = [*DEFAULTS, *settings]
    config = load_config(path or Path(os.devnull), TrainConfig, settings)
    backbone = getattr(config.model, "backbone", None)
    if backbone is None or (backbone.weights == "auto" and not default_weights):
        return config
    named_here = default_weights and os.environ.get(WEIGHTS_VARIABLE)
    weights = "auto" if backbone.weights == "hub" and named_here else backbone.weights
    is_open = backbone.name == BACKBONES[0] and "name" not in backbone.model_fields_set
    source = named_source(weights, BACKBONES if is_open else [backbone.name])
    if (source.name, source.weights) == (backbone.name, backbone.weights):
        return config
    say(source.remark)
    settings = [
        *settings,
        f"model.backbone.name={json.dumps(source.name)}",
        f"model.backbone.weights={json.dumps(source.weights)}",
    ]
    return load_config(path or Path(os.devnull), TrainConfig, settings)


def fitted_to_images(
    config: TrainConfig,
    *,
    smallest_defect_px: float | None = None,
    budget_ms: float | None = None,
) -> TrainConfig:
    """Chooses the sizes of frames and input that a configuration leaves open, and says so.

    Every process of a training makes the same choice, unless a budget makes it by the time.

    Raises:
        ConfigError: see `training.input_size.choose_size`; or the size is given already.
        CameraError: images cannot be read.
    """
    data_set = read_data_set(config.data.folder)
    images = survey([*data_set.good, *data_set.defective, *data_set.test], config.data.window)
    good = images[: len(data_set.good)]
    chosen: dict[str, Any] = {}
    if config.data.frame_height is None and config.data.frame_width is None:
        frames = frames_of(images)
        if frames.remarks:
            chosen |= {"frame_height": frames.heights, "frame_width": frames.widths}
        for remark in frames.remarks:
            say(remark)
    if is_size_open(config):
        size = fitting_size(
            config,
            good,
            smallest_defect_px=smallest_defect_px,
            budget_ms=budget_ms,
        )
        chosen["image_size"] = size
    else:
        refuse_told_size(smallest_defect_px, budget_ms)
    fitted = config.model_copy(update={"data": config.data.model_copy(update=chosen)})
    if "image_size" in chosen:
        say(described(fitted, good))
    return fitted


def fit_with_progress(
    config: TrainConfig, out: Path, evidence: Evidence | None = None
) -> RunRecord:
    """Fits with a progress bar on standard error; with a line every few seconds in a log."""
    with (
        tqdm(desc="train", unit="epoch", file=sys.stderr, disable=None) as bar,
        told_in_a_log("train") as tell,
    ):

        def show(progress: Progress, epochs: int, losses: dict[str, float]) -> None:
            bar.total = epochs
            bar.update(progress.epoch - bar.n)
            bar.set_postfix({name: f"{value:.3f}" for name, value in losses.items()})
            shown = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
            tell(f"epoch {progress.epoch} of {epochs}, {shown}")

        return fit(config, out, show, evidence)


@contextmanager
def told_in_a_log(
    task: str, period_s: float = 4.0, stream: TextIO | None = None
) -> Iterator[Callable[[str], None]]:
    """Writes a line about a task every `period_s` where no terminal shows its progress bar.

    Yields:
        Takes the present state of the task, for the next line.

    Args:
        stream: None for standard error.
    """
    out = sys.stderr if stream is None else stream
    state, ended, started_s = ["reading the images"], threading.Event(), time.monotonic()

    def tell() -> None:
        while not ended.wait(period_s):
            out.write(f"{task}: {state[0]}, {time.monotonic() - started_s:.0f} s\n")
            out.flush()

    def note(now: str) -> None:
        state[0] = now

    if out.isatty() or getattr(rank_zero_only, "rank", 0):
        yield note
        return
    thread = threading.Thread(target=tell, name="progress", daemon=True)
    thread.start()
    try:
        yield note
    finally:
        ended.set()
        thread.join()


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
        ConfigError: the value is neither a file nor a word of `PLACES`.
    """
    path = Path(value)
    if value not in PLACES and not path.is_file():
        raise ConfigError(f"--weights {value}: no such file (nor one of: {', '.join(PLACES)})")
    return value if value in PLACES else printable(path.resolve())
