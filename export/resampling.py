"""Resizing and pooling as operators instead of constant matrices, for engines that gain from it.

The fused graph takes a map to another grid by one matrix along each axis: exact, few products, and
the same on every engine. Matrices along H and W of (N, C, H, W) need a tensor with its channels
outside. OpenVINO keeps channels innermost between convolutions, so that it copies the largest
tensors of the graph before and after each product. Its Resize and AveragePool copy nothing.
"""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor

from training.linear_maps import bilinear, mean3

_ROUNDING = 1e-6  # of FP32 weights, which are at most 1


class _Steps(NamedTuple):
    """A bilinear interpolation with a mean of 3x3 neighbours before or behind it."""

    align_corners: bool
    pools_before: bool
    pools_behind: bool

    def matrix(self, size: int, source: int) -> Tensor:
        """Returns the matrix (size, source) of the steps along one axis, float64."""
        before = mean3(source) if self.pools_before else torch.eye(source, dtype=torch.float64)
        behind = mean3(size) if self.pools_behind else torch.eye(size, dtype=torch.float64)
        return behind @ bilinear(size, source, align_corners=self.align_corners) @ before


_KNOWN = tuple(_Steps(*flags) for flags in product((True, False), repeat=3))


def with_operators(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copies a graph, with operators for each pair of matrices that resizes or pools maps.

    Matrices that do something else stay. The result is equal to rounding in FP32.

    Args:
        model: with fixed shapes, inferred.
    """
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    graph = copied.graph
    _replace_matrices(graph)
    while _merge_pools(graph):
        pass
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(kept)
    return onnx.shape_inference.infer_shapes(copied, strict_mode=True, data_prop=True)


def _replace_matrices(graph: onnx.GraphProto) -> None:
    """Puts the operators of each known pair in the place of its second product."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    shapes = {
        value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in graph.value_info
    }
    products = {n.output[0]: n for n in graph.node if n.op_type == "MatMul"}
    readers = _readers(graph)
    nodes = []
    replaced = set()
    for node in graph.node:
        rows = products.get(node.input[0]) if node.op_type == "MatMul" else None
        if rows is None or rows.input[0] not in constants or node.input[1] not in constants:
            nodes.append(node)
            continue
        maps = rows.input[1]
        height, width = (
            numpy_helper.to_array(constants[name]).astype(np.float64)
            for name in (rows.input[0], node.input[1])
        )
        steps = _known_steps(height, width.T)
        if steps is None or len(shapes.get(maps, ())) != 4 or readers[rows.output[0]] != 1:
            nodes.append(node)
            continue
        size = [*shapes[maps][:2], len(height), width.shape[1]]
        nodes.extend(_operators(graph, steps, maps, node.output[0], size))
        replaced.add(rows.output[0])
    del graph.node[:]
    graph.node.extend(node for node in nodes if node.output[0] not in replaced)


def _known_steps(rows: npt.NDArray[np.float64], columns: npt.NDArray[np.float64]) -> _Steps | None:
    """Returns the steps that both matrices (size, source) are of; None for other matrices."""
    for steps in _KNOWN:
        if all(
            np.abs(steps.matrix(*found.shape).numpy() - found).max() < _ROUNDING
            for found in (rows, columns)
        ):
            return steps
    return None


def _operators(
    graph: onnx.GraphProto, steps: _Steps, maps: str, output: str, size: list[int]
) -> list[onnx.NodeProto]:
    """Returns the nodes from the tensor `maps` to `output`, which has the shape `size`."""
    sizes = f"{output}.size"
    graph.initializer.append(numpy_helper.from_array(np.array(size, np.int64), sizes))
    how = "align_corners" if steps.align_corners else "half_pixel"
    pool_before, pool_behind = f"{output}.averaged", f"{output}.resized"
    source = pool_before if steps.pools_before else maps
    resized = pool_behind if steps.pools_behind else output
    nodes = [
        helper.make_node(
            "Resize",
            [source, "", "", sizes],
            [resized],
            name=resized,
            mode="linear",
            coordinate_transformation_mode=how,
        )
    ]
    if steps.pools_before:
        nodes.insert(0, _mean3(maps, source))
    if steps.pools_behind:
        nodes.append(_mean3(resized, output))
    return nodes


def _merge_pools(graph: onnx.GraphProto) -> bool:
    """Averages the sum of two maps once instead of each; returns False when there is none."""
    readers = _readers(graph)
    pools = {
        node.output[0]: node
        for node in graph.node
        if node == _mean3(node.input[0] if node.input else "", node.output[0])
        and readers[node.output[0]] == 1
    }
    for number, node in enumerate(graph.node):
        if node.op_type != "Add" or not all(name in pools for name in node.input):
            continue
        averaged = [pools[name] for name in node.input]
        output, total = node.output[0], f"{node.output[0]}.sum"
        node.input[:] = [pool.input[0] for pool in averaged]
        node.output[0] = total
        graph.node.insert(number + 1, _mean3(total, output))
        for pool in averaged:
            graph.node.remove(pool)
        return True
    return False


def _mean3(source: str, output: str) -> onnx.NodeProto:
    """Returns the node of `training.linear_maps.mean3` along both axes."""
    return helper.make_node(
        "AveragePool",
        [source],
        [output],
        name=output,
        kernel_shape=[3, 3],
        pads=[1, 1, 1, 1],
        count_include_pad=1,
    )


def _readers(graph: onnx.GraphProto) -> Counter[str]:
    inside = Counter(name for node in graph.node for name in node.input)
    return inside + Counter(value.name for value in graph.output)
