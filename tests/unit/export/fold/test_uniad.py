"""The fold of UniAD gives the results of the model."""

from __future__ import annotations

import onnx
import pytest

from export.fold.uniad import Deployed
from export.graph import build_graph
from export.macs import count_macs
from tests.doubles.folds import assert_exported, assert_folded
from tests.doubles.small_models import frames, small_uniad
from training.models.uniad import Config, Model

EFFICIENTNET = {"name": "tf_efficientnet_b4.aa_in1k", "weights": "none", "layers": [0, 1, 2, 3]}
SHALLOW_EFFICIENTNET = {**EFFICIENTNET, "name": "tf_efficientnet_b0.aa_in1k"}
RESNET = {"name": "resnet18.tv_in1k", "weights": "none", "layers": [1, 2, 3]}


@pytest.mark.parametrize("score", ["max", "mean"])
@pytest.mark.parametrize("padding", ["zeros", "reflect"])
def test_the_fold_is_the_model(score: str, padding: str) -> None:
    made = small_uniad(score=score, backbone={**RESNET, "padding": padding})
    assert_folded(made, Deployed(made), frames(2, (64, 96)))


@pytest.mark.parametrize("backbone", [RESNET, {**SHALLOW_EFFICIENTNET, "padding": "reflect"}])
def test_the_exported_graph_is_the_model(backbone: dict[str, object]) -> None:
    made = small_uniad(backbone=backbone)
    nodes = assert_exported(made, frames(1, (64, 96))).graph.node
    assert any(is_reflection(node) for node in nodes) == ("padding" in backbone)


def is_reflection(node: onnx.NodeProto) -> bool:
    return node.op_type == "Pad" and any(a.s == b"reflect" for a in node.attribute)


def test_cost_of_the_paper_and_no_pad_left() -> None:
    """Backbone to its block 21 0.920 GMAC, head 1.702 GMAC before folding."""
    config = Config.model_validate({"backbone": EFFICIENTNET})
    graph = build_graph(Model(config, (224, 224)).eval())
    assert count_macs(graph) == pytest.approx(2.622e9, rel=0.02)
    assert not [node for node in graph.graph.node if node.op_type == "Pad"]
