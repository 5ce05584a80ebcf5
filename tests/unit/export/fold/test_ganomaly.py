"""The fold of GANomaly gives the results of the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from export.fold.ganomaly import Deployed
from export.graph import build_graph, save_graph
from export.macs import count_macs
from tests.doubles.folds import assert_folded
from tests.doubles.small_models import frames, small_ganomaly
from training.models.ganomaly import Config, Model
from training.models.ganomaly_networks import Generator

MAPS = ["reconstruction", "latent", "features"]


@pytest.mark.parametrize("score", ["latent", "map"])
@pytest.mark.parametrize("anomaly_map", MAPS)
@pytest.mark.parametrize(("size", "extra"), [(32, 0), (64, 1)])
def test_the_fold_is_exact(size: int, extra: int, anomaly_map: str, score: str) -> None:
    ganomaly = small_ganomaly(size, anomaly_map=anomaly_map, score=score, extra_layers=extra)
    assert_folded(ganomaly, Deployed(ganomaly), frames(2, (size, size)))


def test_the_fold_notices_a_changed_weight() -> None:
    """The check above can fail: a deployed form of other weights is not a fold."""
    ganomaly = small_ganomaly()
    deployed = Deployed(ganomaly)
    with torch.no_grad():
        ganomaly.generator.encoder.head.weight[0] += 0.5
        difference = (
            (ganomaly(frames(1, (32, 32))).scores - deployed(frames(1, (32, 32)))[0]).abs().max()
        )
    assert float(difference) > 1e-3


@pytest.mark.parametrize("anomaly_map", MAPS)
def test_the_discriminator_is_deployed_only_for_its_map(anomaly_map: str) -> None:
    deployed = Deployed(small_ganomaly(anomaly_map=anomaly_map))
    generator = count(Generator(32, 8, 10, 0))
    assert (count(deployed) > generator) is (anomaly_map == "features")


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("anomaly_map", MAPS)
def test_the_graph_computes_what_the_model_computes(tmp_path: Path, anomaly_map: str) -> None:
    ganomaly = small_ganomaly(anomaly_map=anomaly_map)
    graph = build_graph(ganomaly, dynamic_batch=True)
    operators = {node.op_type for node in graph.graph.node}
    assert operators.isdisjoint({"BatchNormalization", "Resize", "Pad"})
    save_graph(graph, tmp_path / "model.onnx")
    session = ort.InferenceSession(str(tmp_path / "model.onnx"))
    for batch in (1, 3):
        scores, maps = session.run(None, {"input": frames(batch, (32, 32)).numpy()})
        with torch.no_grad():
            expected = ganomaly(frames(batch, (32, 32)))
        assert np.abs(scores / expected.scores.numpy() - 1).max() < 1e-5
        scale = float(expected.maps.abs().max())
        assert np.abs(maps - expected.maps.numpy()).max() < 1e-5 * scale


def test_cost_at_32() -> None:
    graph = build_graph(Model(Config(), (32, 32)).eval())
    assert count_macs(graph) / 1e9 == pytest.approx(0.054, abs=0.001)
