"""The fold of the subspace model gives the results of the model, and costs next to nothing."""

from __future__ import annotations

import pytest
import torch

from export.fold.subspace import Deployed
from export.graph import build_graph
from export.macs import count_macs
from tests.doubles.folds import assert_exported, assert_folded
from tests.doubles.small_models import frames, small_subspace

LITE0 = {"name": "tf_efficientnet_lite0.in1k", "weights": "none"}


@pytest.mark.parametrize("size", [(64, 64), (64, 96), (96, 64)])
@pytest.mark.parametrize("layers", [(2, 3), (1, 2, 3), (2,)])
@pytest.mark.parametrize("layers_joined", [True, False])
@pytest.mark.parametrize("distance", ["residual", "mahalanobis"])
def test_the_fold_is_the_model(
    size: tuple[int, int], layers: tuple[int, ...], layers_joined: bool, distance: str
) -> None:
    backbone = {"name": "resnet18.tv_in1k", "weights": "none", "layers": layers}
    made = small_subspace(size, backbone=backbone, layers_joined=layers_joined, distance=distance)
    images = frames(2, size)
    images[1] = 255
    assert_folded(made, Deployed(made), images)


@pytest.mark.parametrize("layers_joined", [True, False])
def test_the_exported_graph_is_the_model(layers_joined: bool) -> None:
    assert_exported(small_subspace(layers_joined=layers_joined), frames(1, (64, 64)))


def test_only_rows_of_the_complement_are_computed() -> None:
    made = small_subspace(variance=0.5)
    kept = int(made.projections()[0].any(dim=1).sum())
    convolutions = [m for m in Deployed(made).distances.modules() if isinstance(m, torch.nn.Conv2d)]
    assert 0 < kept < 384
    assert [(c.in_channels, c.out_channels) for c in convolutions] == [(128, kept), (256, kept)]


def test_the_head_costs_a_hundredth_of_the_backbone() -> None:
    """At 256x256 the literal head takes 2 * 384 * 384 per position: 302 million."""
    made = small_subspace((256, 256), layers_joined=False)
    whole = count_macs(build_graph(made))
    made = small_subspace((256, 256), layers_joined=False, variance=0.999)
    assert count_macs(build_graph(made)) < whole < 2.12e9
