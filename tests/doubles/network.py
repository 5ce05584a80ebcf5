"""Computes a small network of TensorRT's bindings with NumPy: no engine runs without a card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float32]


def computed(trt: Any, network: Any, inputs: Mapping[str, Values]) -> dict[str, Values]:
    """Returns the outputs of a network by name; it may hold the layers of `RULES` only.

    A layer whose result nobody reads is not computed, whatever it is: the builder drops it too.
    """
    layers = {}
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        layers[layer.get_output(0).name] = layer
    known = dict(inputs)

    def value(name: str) -> Values:
        if name not in known:
            layer = layers[name]
            interface, rule = RULES[layer.type.name]
            layer.__class__ = getattr(trt, interface)
            read = [layer.get_input(index) for index in range(layer.num_inputs)]
            known[name] = rule(layer, *(value(tensor.name) for tensor in read if tensor))
            assert known[name].shape == tuple(layer.get_output(0).shape), layer.name
        return known[name]

    return {
        name: value(name)
        for name in (network.get_output(index).name for index in range(network.num_outputs))
    }


def _constant(layer: Any) -> Values:
    return np.asarray(layer.weights, np.float32).reshape(tuple(layer.shape))


def _shuffle(layer: Any, data: Values) -> Values:
    data = _permuted(data, layer.first_transpose)
    shape = tuple(layer.reshape_dims)
    return _permuted(data.reshape(shape) if shape else data, layer.second_transpose)


def _permuted(data: Values, permutation: Any) -> Values:
    order = tuple(permutation)[: data.ndim]
    return data if sorted(order) != list(range(data.ndim)) else data.transpose(order)


def _convolution(layer: Any, data: Values, kernel: Values) -> Values:
    assert tuple(layer.kernel_size_nd) == (1, 1)
    result: Values = np.einsum("phkx,oh->pokx", data, kernel[:, :, 0, 0], dtype=np.float32)
    return result


def _product(layer: Any, left: Values, right: Values) -> Values:
    assert layer.op.name == "PROD"
    return left * right


def _reduce(layer: Any, data: Values) -> Values:
    assert layer.op.name == "SUM"
    axes = tuple(axis for axis in range(data.ndim) if layer.axes >> axis & 1)
    return np.asarray(data.sum(axis=axes, keepdims=layer.keep_dims), np.float32)


RULES: dict[str, tuple[str, Callable[..., Values]]] = {
    "CONSTANT": ("IConstantLayer", _constant),
    "CONVOLUTION": ("IConvolutionLayer", _convolution),
    "ELEMENTWISE": ("IElementWiseLayer", _product),
    "REDUCE": ("IReduceLayer", _reduce),
    "SHUFFLE": ("IShuffleLayer", _shuffle),
}
