"""The processes of one training: one, or several under torchrun.

Lightning Fabric wraps the model for gradient averaging (DDP) and mixed precision. Every process
holds all samples, draws the same epochs, and takes its share of every batch.
"""

from __future__ import annotations

import logging
import os
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, nn

from inspection.errors import ConfigError
from training.config import FitConfig
from training.data.order import Draw
from training.models.base import AnomalyModel, Optimisation

_SEED_STRIDE = 1_000_003  # a prime, so that (seed, epoch, rank) seldom meet


class Workers:
    """This process and its peers.

    Args:
        config: device and precision. Under torchrun every process takes the CPU, or the CUDA device
            of its local rank.

    Raises:
        ConfigError: the device is missing, or `config` names one device for several processes.
    """

    def __init__(self, config: FitConfig) -> None:
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
        world, local = (int(os.environ.get(n, "1")) for n in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
        _check_device(config.device, local)
        self._fabric = Fabric(
            accelerator="cuda" if config.device.startswith("cuda") else "cpu",
            devices=_devices(config.device, local),
            num_nodes=max(1, world // local),
            # A model may leave parts unused in a step: a discriminator, a head without labels.
            strategy=DDPStrategy(find_unused_parameters=True) if world > 1 else "auto",
            precision=config.precision,
        )
        self._fabric.launch()
        self.seed = config.seed

    @property
    def device(self) -> torch.device:
        """Returns the device of this process."""
        return self._fabric.device

    @property
    def is_first(self) -> bool:
        """Returns True in the process that writes files and reports."""
        return self._fabric.is_global_zero

    @property
    def count(self) -> int:
        """Returns the number of processes."""
        return self._fabric.world_size

    def place(self, model: AnomalyModel) -> AnomalyModel:
        """Moves a model to the device; on CUDA, batch norms see the batch of all processes.

        torch does not have a synchronised batch norm on the CPU: each process normalises its share.
        """
        if self.count > 1 and self.device.type == "cuda":
            nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return model.to(self.device)

    def seed_epoch(self, epoch: int) -> torch.Generator:
        """Seeds this process for an epoch; returns the generator that draws the epoch in all.

        Random numbers of an epoch depend only on the seed, the epoch and the process, so that a
        resumed training repeats them.
        """
        base = (self.seed * _SEED_STRIDE + epoch) * _SEED_STRIDE
        torch.manual_seed((base + 1 + self._fabric.global_rank) % 2**63)
        return torch.Generator().manual_seed(base % 2**63)

    def share(self, part: Draw) -> Draw:
        """Returns this process's part of a batch; samples repeat to give parts of one size."""
        size = -(-len(part) // self.count)
        padded = [part[i % len(part)] for i in range(size * self.count)]
        return padded[self._fabric.global_rank :: self.count]

    def steps(self, model: AnomalyModel, optimisation: Optimisation) -> Steps:
        """Sets `model` up for optimisation steps over all processes."""
        return Steps(self._fabric, model, optimisation)

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """Returns the mean of each value over the processes."""
        if self.count == 1:
            return values
        summed = self._fabric.all_reduce(
            torch.tensor(list(values.values()), dtype=torch.float64), reduce_op="mean"
        )
        assert isinstance(summed, Tensor)  # noqa: S101 - a tensor in, a tensor out
        return dict(zip(values, summed.tolist(), strict=True))

    def wait(self) -> None:
        """Waits for all processes."""
        self._fabric.barrier()


class Steps:
    """Optimisation steps of a model, over all processes and in the configured precision.

    Attributes:
        module: the model. Calls of its `stepped` methods through it average their gradients over
            the processes.
    """

    def __init__(self, fabric: Fabric, model: AnomalyModel, optimisation: Optimisation) -> None:
        self._fabric = fabric
        self._clip_norm = optimisation.clip_norm
        self.module: Any = fabric.setup_module(model)
        for name in model.stepped:
            self.module.mark_forward_method(name)
        optimisers = fabric.setup_optimizers(*optimisation.optimisers)
        self._optimisers = list(optimisers) if isinstance(optimisers, tuple) else [optimisers]

    def minimise(self, loss: Tensor, optimiser: int | None = None) -> None:
        """Takes a step down the gradient of `loss`, with one optimiser or with all."""
        chosen = self._optimisers if optimiser is None else [self._optimisers[optimiser]]
        for each in chosen:
            each.zero_grad(set_to_none=True)
        self._fabric.backward(loss)
        for each in chosen:
            if self._clip_norm is not None:
                self._fabric.clip_gradients(
                    self.module, each, max_norm=self._clip_norm, error_if_nonfinite=False
                )
            each.step()


def _check_device(device: str, processes: int) -> None:
    kind, _, index = device.partition(":")
    if kind == "cpu":
        return
    if not torch.cuda.is_available():
        raise ConfigError(
            f"fit.device {device}: torch {torch.__version__} sees no CUDA device here; take cpu, "
            "or install the driver and a torch that is built for CUDA"
        )
    count = torch.cuda.device_count()
    if index and processes > 1:
        raise ConfigError(f"fit.device {device}: several processes need 'cuda' without a number")
    if int(index or 0) >= count or processes > count:
        raise ConfigError(
            f"fit.device {device} with {processes} processes: this machine has {count} CUDA devices"
        )


def _devices(device: str, processes: int) -> int | list[int]:
    index = device.partition(":")[2]
    return [int(index)] if index else processes
