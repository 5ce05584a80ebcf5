"""Comparisons of a model with its deployed form, and with the graph that is exported of it."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from export.graph import build_graph
from training.models.base import AnomalyModel


def assert_folded(model: AnomalyModel, deployed: nn.Module, images: Tensor) -> None:
    """Compares scores and maps to 1e-5 of the largest value.

    Args:
        images: (N, H, W, 3) uint8.
    """
    with torch.no_grad():
        literal, folded = model(images), deployed(images)
    for expected, got in zip(literal, folded, strict=True):
        assert expected.shape == got.shape
        assert float((expected - got).abs().max()) <= 1e-5 * float(expected.abs().max())


def assert_exported(
    model: AnomalyModel, images: Tensor, *, map_rtol: float = 1e-4, map_atol: float = 0.0
) -> onnx.ModelProto:
    """Compares the graph of a model, in ONNX Runtime, with the model: scores to 1e-4 of each.

    Returns the graph.

    Args:
        images: (N, H, W, 3) uint8.
        map_rtol, map_atol: largest difference of the maps, of each value and besides.
    """
    graph = build_graph(model, dynamic_batch=len(images) > 1)
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    scores, maps = session.run(None, {"input": images.numpy()})
    with torch.no_grad():
        expected = model(images)
    np.testing.assert_allclose(scores, expected.scores.numpy(), rtol=1e-4)
    np.testing.assert_allclose(maps, expected.maps.numpy(), rtol=map_rtol, atol=map_atol)
    return graph
