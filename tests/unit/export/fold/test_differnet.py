"""The folds of DifferNet and of its spatial variant give the results of the models."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from export.fold import FOLDS
from export.graph import build_graph
from tests.doubles.small_models import frames, small_differnet, small_differnet_spatial
from training.models.base import AnomalyModel

VARIANTS = [
    pytest.param(small_differnet, id="quarter turns"),
    pytest.param(
        lambda: small_differnet(training_rotations=6, inference_rotations=6), id="six copies"
    ),
    pytest.param(lambda: small_differnet((64, 96), inference_rotations=4), id="oblong, turned"),
    pytest.param(lambda: small_differnet((96, 64)), id="oblong"),
    pytest.param(lambda: small_differnet(training_rotations=1), id="upright"),
    pytest.param(lambda: small_differnet(standardise=True), id="standardised"),
    pytest.param(lambda: small_differnet_spatial((64, 96)), id="spatial"),
    pytest.param(
        lambda: small_differnet_spatial(context=True, score="mean", standardise=True),
        id="spatial, mean",
    ),
]


@pytest.mark.parametrize("make", VARIANTS)
def test_the_fold_is_the_literal_model(make: Callable[[], AnomalyModel]) -> None:
    made = make()
    images = frames(2, made.size)
    with torch.no_grad():
        literal, folded = made(images), deployed(made)(images)
    assert relative(literal.scores, folded[0]) <= 1e-5
    assert relative(literal.maps, folded[1]) <= 1e-5
    assert literal.maps.shape == (2, *made.size)


SHORT: dict[str, object] = {"backbone": {"weights": "none", "layers": [1]}, "scales": 2}
OBLONG = (48, 64)
EXPORTED = [
    pytest.param(lambda: small_differnet((64, 64), **SHORT), id="quarter turns"),
    pytest.param(
        lambda: small_differnet(OBLONG, inference_rotations=2, standardise=True, **SHORT),
        id="oblong, turned, standardised",
    ),
    pytest.param(
        lambda: small_differnet_spatial(OBLONG, context=True, standardise=True, **SHORT),
        id="spatial",
    ),
]


@pytest.mark.parametrize("make", EXPORTED)
def test_the_graph_gives_the_same(make: Callable[[], AnomalyModel]) -> None:
    made = make()
    graph = build_graph(made, dynamic_batch=True).SerializeToString()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    images = frames(3, made.size)
    with torch.no_grad():
        literal = made(images)
    scores, maps = session.run(None, {"input": images.numpy()})
    assert relative(literal.scores, torch.from_numpy(scores)) <= 1e-4
    assert relative(literal.maps, torch.from_numpy(maps)) <= 1e-4


def relative(expected: Tensor, other: Tensor) -> float:
    return float((expected - other).abs().max() / expected.abs().max())


def deployed(model: AnomalyModel) -> nn.Module:
    folded: nn.Module = import_module(FOLDS[model.config.name]).Deployed(model)
    return folded.eval()
