"""Measures a training step: the whole grid against a sample of it, and the cost of freed memory.

    python tests/bench/bench_training.py

Prints medians of interleaved steps at 256x256 with resnet18 (random weights), batch 8.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from training.config import FitConfig
from training.data.samples import Targets
from training.features import keep_freed_memory
from training.models.supersimplenet import Config, Model
from training.workers import Workers

STEPS, BATCH, SIZE = 5, 8, (256, 256)


def main() -> None:
    torch.manual_seed(0)
    variants = {"whole 64x64 grid": None, "24 rows and columns": 24, "16 rows and columns": 16}
    models = {name: model(grid) for name, grid in variants.items()}
    print(f"{torch.get_num_threads()} threads; freed memory goes back to the kernel:")
    report(measure(models))
    keep_freed_memory()
    print("freed memory is kept, as training does:")
    report(measure(models))


def model(sampled_grid: int | None) -> Model:
    config = {"backbone": {"weights": "none"}, "sampled_grid": sampled_grid}
    return Model(Config.model_validate(config), SIZE).train()


def measure(models: dict[str, Model]) -> dict[str, list[float]]:
    targets = Targets(
        torch.zeros(BATCH),
        torch.zeros(BATCH, 1, *SIZE),
        torch.ones(BATCH, 1, *SIZE),
        torch.ones(BATCH),
    )
    images = torch.randint(0, 256, (BATCH, *SIZE, 3), dtype=torch.uint8)
    times: dict[str, list[float]] = {name: [] for name in models}
    workers = Workers(FitConfig())
    steps = {name: workers.steps(m, m.optimisation(10)) for name, m in models.items()}
    features = next(iter(models.values())).extract(images)
    for step in range(STEPS + 1):
        for name, m in models.items():
            started = time.perf_counter()
            m.step(features, targets, steps[name])
            if step:
                times[name].append(1e3 * (time.perf_counter() - started))
    return times


def report(times: dict[str, list[float]]) -> None:
    first = float(np.median(next(iter(times.values()))))
    for name, values in times.items():
        median = float(np.median(values))
        print(f"  {name:<22} {median / BATCH:7.1f} ms per image   {first / median:.2f} x")


if __name__ == "__main__":
    main()
