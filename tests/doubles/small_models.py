"""Small models as after a training, each for its tests and for those of its fold."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.models import (
    differnet,
    differnet_spatial,
    ganomaly,
    memory,
    simplenet,
    subspace,
    supersimplenet,
    uniad,
)
from training.models.base import DataFacts

RESNET = {"name": "resnet18.tv_in1k", "weights": "none"}
_FLOW = {"backbone": {"weights": "none", "layers": [1, 2]}, "hidden": 16, "blocks": 2}


def frames(count: int, size: tuple[int, int]) -> Tensor:
    """Returns noise (count, H, W, 3) uint8, the same every time."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, *size, 3), dtype=torch.uint8, generator=generator)


def small_differnet(size: tuple[int, int] = (64, 64), **settings: object) -> differnet.Model:
    torch.manual_seed(0)
    config = differnet.Config.model_validate({**_FLOW, **settings})
    made = differnet.Model(config, size).eval()
    made.prepare(DataFacts(3, 0, 0), lambda: iter([made.extract(frames(3, size))]))
    made.finish(lambda: iter([made.extract(frames(3, size))]))
    return made


def small_differnet_spatial(
    size: tuple[int, int] = (64, 64), **settings: object
) -> differnet_spatial.Model:
    torch.manual_seed(0)
    config = differnet_spatial.Config.model_validate({**_FLOW, **settings})
    made = differnet_spatial.Model(config, size).eval()
    made.prepare(DataFacts(3, 0, 0), lambda: iter([made.extract(frames(3, size))]))
    return made


def small_ganomaly(size: int = 32, **settings: object) -> ganomaly.Model:
    """Makes a model as after a training: every statistic differs from its start."""
    torch.manual_seed(0)
    made = ganomaly.Model(
        ganomaly.Config.model_validate({"channels": 8, "latent": 10, **settings}), (size, size)
    )
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
            nn.init.normal_(module.bias, std=0.1)
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.weight.data *= 3  # of a size that gives features of about 1
    nn.init.uniform_(made.pixel_mean, 0.3, 0.6)
    nn.init.uniform_(made.pixel_std, 0.1, 0.2)
    nn.init.uniform_(made.level_means, 0.5, 1.5)
    return made.eval()


def small_memory(
    size: tuple[int, int] = (64, 64), images: int = 4, **settings: object
) -> memory.Model:
    """Makes a model that has learnt images; layers (1, 2, 3) give more patches than entries."""
    torch.manual_seed(0)
    made = memory.Model(memory.Config.model_validate({"backbone": RESNET, **settings}), size)
    for image in frames(images, size):
        made.learn(made.extract(image[None]))
    made.solve()
    return made.eval()


def small_simplenet(size: tuple[int, int] = (64, 64), **settings: object) -> simplenet.Model:
    torch.manual_seed(0)
    made = simplenet.Model(
        simplenet.Config.model_validate(
            {"backbone": RESNET, "width": 48, "hidden": 16, **settings}
        ),
        size,
    )
    with torch.no_grad():  # statistics and offsets that are not those of a new batch norm
        norm = made.discriminator.norm
        for values in (norm.running_mean, norm.weight, norm.bias):
            assert values is not None
            values.add_(0.3 * torch.randn_like(values))
        assert norm.running_var is not None
        norm.running_var.uniform_(0.5, 2)
    return made.eval()


def small_subspace(size: tuple[int, int] = (64, 64), **settings: object) -> subspace.Model:
    """Makes a model that has learnt four images."""
    torch.manual_seed(0)
    made = subspace.Model(subspace.Config.model_validate({"backbone": RESNET, **settings}), size)
    for image in frames(4, size):
        made.learn(made.extract(image[None]))
    made.solve()
    return made.eval()


def small_supersimplenet(
    size: tuple[int, int] = (64, 64), **settings: object
) -> supersimplenet.Model:
    torch.manual_seed(0)
    heads = {"segmentation_channels": 24, "classification_channels": 8, "backbone": RESNET}
    made = supersimplenet.Model(supersimplenet.Config.model_validate({**heads, **settings}), size)
    for module in made.modules():  # batch norms as after a training
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.1)  # type: ignore[arg-type]
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
            torch.nn.init.normal_(module.weight, mean=1, std=0.1)
    return made.eval()


def small_uniad(size: tuple[int, int] = (64, 96), **settings: object) -> uniad.Model:
    torch.manual_seed(0)
    tiny = {"width": 16, "heads": 2, "feedforward": 24, "layers": 2, "neighbours": [3, 3]}
    backbone = {**RESNET, "layers": [1, 2, 3]}
    return uniad.Model(
        uniad.Config.model_validate({"backbone": backbone, **tiny, **settings}), size
    ).eval()
