"""Every model moves to a device completely."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.doubles.accelerator import DEVICE, Accelerator, OnAccelerator
from training.data.samples import Targets
from training.models import model_module
from training.models.base import AnomalyModel, DataFacts, Features, Optimisation

UNTRAINED = {"name": "resnet18.tv_in1k", "weights": "none"}
HEADS = {"segmentation_channels": 8, "classification_channels": 4}
SMALL: dict[str, dict[str, Any]] = {
    "simplenet": {"width": 32, "hidden": 16, "noise_std": "auto", "sampled_patches": 8},
    "supersimplenet": {"noise_std": "auto", "sampled_grid": 8, **HEADS},
    "supersimplenet, mixed": {"supervision": "mixed", **HEADS},
    "uniad": {"width": 16, "heads": 2, "feedforward": 16, "layers": 1, "neighbours": (1, 1)},
    "ganomaly": {"channels": 4, "latent": 8, "anomaly_map": "features"},
    "differnet": {"hidden": 16, "blocks": 2, "scales": 1, "standardise": True},
    "differnet_spatial": {"hidden": 16, "blocks": 2, "scales": 2, "sampled_positions": 4},
}


class OneDevice:
    """Steps of one process."""

    def __init__(self, model: AnomalyModel, by: Optimisation) -> None:
        self.module, self._optimisers = model, by.optimisers

    def minimise(self, loss: Tensor, optimiser: int | None = None) -> None:
        chosen = self._optimisers if optimiser is None else [self._optimisers[optimiser]]
        for each in chosen:
            each.zero_grad()
        loss.backward()
        for each in chosen:
            each.step()


def small(kind: str) -> AnomalyModel:
    name = kind.partition(",")[0]
    settings = {"name": name, **SMALL[kind]}
    if name != "ganomaly":
        settings["backbone"] = {**UNTRAINED, "layers": (3,) if "differnet" in name else (2, 3)}
    module = model_module(name)
    made: AnomalyModel = module.Model(module.Config.model_validate(settings), (64, 64))
    return made


@pytest.mark.parametrize("kind", SMALL)
def test_a_training_keeps_to_its_device(kind: str) -> None:
    torch.manual_seed(0)
    model = small(kind)
    images = torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8)
    labels, masks = torch.tensor([0.0, 0, 1, 1]), torch.zeros(4, 1, 64, 64)
    masks[2, :, 10:40, 10:40] = 1
    on_cpu = Targets(labels, masks, torch.ones(4, 1, 64, 64), torch.tensor([1.0, 1, 1, 0]))
    with Accelerator():
        model.to(DEVICE)
        features = model.extract(images.to(DEVICE))
        assert all(isinstance(layer, OnAccelerator) for layer in features)
        targets = Targets(*(target.to(DEVICE) for target in on_cpu))

        def good() -> Iterator[Features]:
            return iter([tuple(layer[:2] for layer in features)])

        model.prepare(DataFacts(2, 2, 1), good)
        model.train()
        steps = OneDevice(model, model.optimisation(2))
        for _ in range(2):
            losses = model.step(features, targets, steps)
        model.finish(good)
        predicted = model.eval()(images.to(DEVICE))
        model.doubts(losses)
        assert predicted.maps.cpu().shape == (4, 64, 64)
        assert all(isinstance(value, OnAccelerator) for value in model.state_dict().values())


@pytest.mark.parametrize("layers_joined", [True, False])
def test_a_closed_form_keeps_to_its_device(layers_joined: bool) -> None:
    torch.manual_seed(0)
    module = model_module("subspace")
    settings = {"backbone": UNTRAINED, "layers_joined": layers_joined, "rotations": 2}
    model = module.Model(module.Config.model_validate(settings), (64, 64))
    images = torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8)
    with Accelerator():
        model.to(DEVICE)
        for view in model.views(images):
            model.learn(model.extract(view.to(DEVICE)))
        model.unlearn(model.extract(images[:1].to(DEVICE)))
        model.solve()
        predicted = model.eval()(images.to(DEVICE))
        assert predicted.maps.cpu().shape == (4, 64, 64)
        assert all(isinstance(value, OnAccelerator) for value in model.state_dict().values())


@pytest.mark.parametrize("score", ["map", "reweighted"])
def test_a_memory_keeps_to_its_device(score: str) -> None:
    """With a coreset of a sample, and with leaving one out."""
    torch.manual_seed(0)
    module = model_module("memory")
    backbone = {**UNTRAINED, "layers": (1, 2, 3)}
    images = torch.randint(0, 256, (6, 64, 64, 3), dtype=torch.uint8)
    for candidates in (1100, 2000):
        settings = {"backbone": backbone, "entries": 1024, "candidates": candidates, "score": score}
        model = module.Model(module.Config.model_validate(settings), (64, 64))
        with Accelerator():
            model.to(DEVICE)
            model.learn(model.extract(images.to(DEVICE)))
            model.solve()
            assert model.bank.shape[0] == 1024
            assert len(model.leave_one_out) == (6 if candidates == 2000 else 0)
            predicted = model.eval()(images.to(DEVICE))
            assert predicted.maps.cpu().shape == (6, 64, 64)
            assert all(isinstance(value, OnAccelerator) for value in model.state_dict().values())


def test_the_double_refuses_what_cuda_refuses() -> None:
    with Accelerator():
        there = torch.ones(3).to(DEVICE)
        assert (2 * there + torch.tensor(1.0)).cpu().tolist() == [3.0] * 3
        assert there[torch.tensor([0, 2])].cpu().tolist() == [1.0] * 2
        with pytest.raises(RuntimeError, match="on the accelerator and on the CPU"):
            there + torch.ones(3)
