"""A deployed backbone gives the features of the backbone."""

from __future__ import annotations

import torch

from export.fold.backbone import DeployedBackbone
from tests.doubles.small_models import frames
from training.backbones import AlexNet, Backbone, BackboneConfig


def test_the_deployed_form_folds_the_normalisation() -> None:
    torch.manual_seed(0)
    backbone = Backbone(BackboneConfig(weights="none"))
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        pairs = zip(backbone(images), DeployedBackbone(backbone)(images), strict=True)
        for literal, folded in pairs:
            assert float((literal - folded).abs().max() / literal.abs().max()) < 1e-5


def test_alexnet_deploys_as_it_is() -> None:
    made = AlexNet(BackboneConfig(name="alexnet.tv_in1k", weights="none")).train()
    assert not made.training
    images = frames(2, (96, 96))
    torch.testing.assert_close(DeployedBackbone(made)(images), made(images), rtol=1e-5, atol=1e-6)
