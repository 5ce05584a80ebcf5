"""The fold of SimpleNet gives the results of the model, and costs less."""

from __future__ import annotations

import pytest

from export.fold.simplenet import Deployed
from export.graph import build_graph
from export.macs import count_macs
from tests.doubles.folds import assert_exported, assert_folded
from tests.doubles.small_models import frames, small_simplenet
from training.models.simplenet import Config, Model


@pytest.mark.parametrize("size", [(64, 64), (64, 96)])
@pytest.mark.parametrize("layers", [(2, 3), (1, 2, 3)])
def test_the_fold_is_the_model(size: tuple[int, int], layers: tuple[int, ...]) -> None:
    backbone = {"name": "resnet18.tv_in1k", "weights": "none", "layers": layers}
    made = small_simplenet(size, backbone=backbone)
    assert_folded(made, Deployed(made), frames(2, size))


@pytest.mark.parametrize("settings", [{}, {"patch_size": 5, "projection_layers": 3}], ids=str)
def test_the_exported_graph_is_the_model(settings: dict[str, object]) -> None:
    made = small_simplenet((64, 64), **settings)
    assert_exported(made, frames(1, (64, 64)), map_rtol=0, map_atol=1e-4)


def test_a_deeper_projection_costs_nothing() -> None:
    shallow, deep = small_simplenet(), small_simplenet(projection_layers=4)
    assert count_macs(build_graph(deep)) == count_macs(build_graph(shallow))


def test_the_head_costs_a_quarter() -> None:
    """At 288x288 the literal head takes 5.097 GMAC; backbone to layer3 15.19."""
    config = Config.model_validate(
        {"backbone": {"weights": "none", "name": "wide_resnet50_2.tv_in1k"}}
    )
    made = Model(config, (288, 288)).eval()
    assert count_macs(build_graph(made)) == pytest.approx(15.186e9 + 1.302e9, rel=0.01)
