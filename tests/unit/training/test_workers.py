"""Two processes learn what one process learns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import safetensors.torch
import torch

from inspection.errors import ConfigError
from training.config import FitConfig
from training.workers import Workers

RUN_FIT = """
import json, sys
from pathlib import Path
from training.config import TrainConfig
from training.fit import fit
fit(TrainConfig.model_validate(json.loads(sys.argv[1])), Path(sys.argv[2]))
"""


def test_a_device_that_is_not_here_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cuda: torch .* sees no CUDA device here; take cpu, or"):
        Workers(FitConfig(device="cuda"))


def test_what_is_random_in_an_epoch_depends_on_seed_and_epoch() -> None:
    workers = Workers(FitConfig(seed=3))
    drawn = []
    for epoch in (0, 1, 0):
        generator = workers.seed_epoch(epoch)
        drawn.append((torch.rand(1).item(), torch.rand(1, generator=generator).item()))
    assert drawn[0] == drawn[2]
    assert drawn[0] != drawn[1]


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    folder = tmp_path / "parts"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(10):
        image = random.normal(120, 30, (64, 64, 3)).clip(0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), image)
    return folder


def train(config: dict[str, object], folder: Path, processes: int) -> dict[str, torch.Tensor]:
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    script = folder.with_suffix(".py")
    script.write_text(RUN_FIT)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd())}
    command += [str(script), json.dumps(config), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return safetensors.torch.load_file(folder / "model.safetensors")


@pytest.mark.parametrize("processes", [2])
def test_two_processes_learn_what_one_learns(parts: Path, tmp_path: Path, processes: int) -> None:
    """UniAD without jitter and dropout has nothing random in a step, and no batch norm."""
    config: dict[str, object] = {
        "data": {"folder": str(parts), "image_size": (64, 64), "hold_out": 0.2},
        "model": {
            "name": "uniad",
            "backbone": {"name": "resnet18.tv_in1k", "weights": "none", "layers": [1, 2, 3]},
            "jitter_scale": 0,
            "dropout": 0,
            "width": 32,
            "heads": 4,
            "neighbours": [1, 1],
        },
        "fit": {"epochs": 3, "batch_size": 4},
    }
    alone = train(config, tmp_path / "alone", 1)
    together = train(config, tmp_path / "together", processes)
    for name, value in alone.items():
        torch.testing.assert_close(together[name], value, rtol=1e-4, atol=1e-6, msg=name)
