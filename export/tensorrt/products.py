"""Matrix products of FP32, in a form that a Turing card takes: convolutions of 1x1, or sums.

TensorRT for RTX compiles no FP32 matrix product for Turing ("FP32 GEMM is not supported"), but it
compiles FP32 convolutions. A product with constant weights is a convolution of 1x1 over the same
values. A product of two computed tensors, as in attention, is an elementwise product and a sum,
which the compiler fuses into one kernel. Both give the same sums in FP32, perhaps in another order.
"""

from __future__ import annotations

import math
from typing import Any

_SWAPPED = (0, 2, 1, 3)
_KEPT = (0, 1, 2, 3)


def replace_products(trt: Any, network: Any) -> int:
    """Replaces the FP32 matrix products of a parsed network; returns their number.

    The replaced layers stay in the network without readers, and the builder drops them.

    Args:
        network: with fixed shapes and inputs of equal rank, as the ONNX parser makes it.
    """
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    made_by = {
        layer.get_output(index).name: layer
        for layer in layers
        for index in range(layer.num_outputs)
    }
    products = [layer for layer in layers if _is_fp32_product(trt, layer)]
    for layer in products:
        layer.__class__ = trt.IMatrixMultiplyLayer  # the bindings give the base class
        left = _Operand(trt, layer.get_input(0), layer.op0)
        right = _Operand(trt, layer.get_input(1), layer.op1)
        form = _Form(trt, network, layer)
        if right.is_weight(made_by):
            made = form.convolution(left, right, weight_is_left=False)
        elif left.is_weight(made_by):
            made = form.convolution(right, left, weight_is_left=True)
        else:
            made = form.summed(left, right)
        _take_place(network, layers, layer.get_output(0), made)
    return len(products)


def _is_fp32_product(trt: Any, layer: Any) -> bool:
    is_product = layer.type == trt.LayerType.MATRIX_MULTIPLY
    return bool(is_product and layer.get_input(0).dtype == trt.DataType.FLOAT)


class _Operand:
    """An operand (..., rows, columns), or stored as (..., columns, rows) when transposed."""

    def __init__(self, trt: Any, tensor: Any, operation: Any) -> None:
        self._trt = trt
        self.tensor = tensor
        self.is_transposed = operation == trt.MatrixOperation.TRANSPOSE
        *batch, first, second = tuple(tensor.shape)
        self.batch = batch
        self.rows, self.columns = (second, first) if self.is_transposed else (first, second)

    def is_weight(self, made_by: dict[str, Any]) -> bool:
        """Returns True for a constant matrix, also when the parser added axes of one value."""
        kinds = self._trt.LayerType
        layer = made_by.get(self.tensor.name)
        while layer is not None and layer.type == kinds.SHUFFLE:
            layer = made_by.get(layer.get_input(0).name)
        return layer is not None and layer.type == kinds.CONSTANT and math.prod(self.batch) == 1


class _Form:
    """Writes the layers that replace one product; they carry its name and its ONNX node."""

    def __init__(self, trt: Any, network: Any, product: Any) -> None:
        self._trt = trt
        self._network = network
        self._product = product

    def convolution(self, values: _Operand, weight: _Operand, *, weight_is_left: bool) -> Any:
        """Returns the product as a convolution of (P, summed, kept, 1) with (given, summed, 1, 1).

        P is the number of matrices in the batch; the kernel gives `given` values for each kept row
        or column.
        """
        batch = math.prod(values.batch)
        summed, kept = values.columns, values.rows
        swap = not values.is_transposed
        given, swap_weight = weight.columns, not weight.is_transposed
        if weight_is_left:
            summed, kept, swap = kept, summed, not swap
            given, swap_weight = weight.rows, not swap_weight
        stored = (batch, kept, summed, 1) if swap else (batch, summed, kept, 1)
        image = self._shuffled(values.tensor, stored, after=_SWAPPED if swap else _KEPT)
        stored = (1, summed, given, 1) if swap_weight else (1, given, summed, 1)
        kernel = self._shuffled(weight.tensor, stored, after=_SWAPPED if swap_weight else _KEPT)
        kernel = self._shuffled(kernel, (given, summed, 1, 1))
        layer = self._network.add_convolution_nd(
            image, given, (1, 1), self._trt.Weights(self._trt.DataType.FLOAT)
        )
        layer.set_input(1, kernel)
        made = self._named(layer)  # (P, given, kept, 1)
        before = _KEPT if weight_is_left else _SWAPPED
        return self._shuffled(made, tuple(self._product.get_output(0).shape), before=before)

    def summed(self, left: _Operand, right: _Operand) -> Any:
        """Returns the sum of (..., rows, 1, summed) times (..., 1, columns, summed)."""
        rank = len(left.batch)
        turned = (*range(rank), rank + 1, rank)
        same = (*range(rank), rank, rank + 1)
        first = self._shuffled(
            left.tensor,
            (*left.batch, left.rows, 1, left.columns),
            before=turned if left.is_transposed else same,
        )
        second = self._shuffled(
            right.tensor,
            (*right.batch, 1, right.columns, right.rows),
            before=same if right.is_transposed else turned,
        )
        operations = self._trt.ElementWiseOperation
        product = self._named(self._network.add_elementwise(first, second, operations.PROD))
        last_axis = 1 << (rank + 2)
        return self._named(
            self._network.add_reduce(product, self._trt.ReduceOperation.SUM, last_axis, False)
        )

    def _shuffled(
        self,
        tensor: Any,
        shape: tuple[int, ...],
        *,
        before: tuple[int, ...] | None = None,
        after: tuple[int, ...] | None = None,
    ) -> Any:
        """Returns a tensor transposed by `before`, in a new shape, then transposed by `after`."""
        layer = self._network.add_shuffle(tensor)
        if before is not None:
            layer.first_transpose = before
        layer.reshape_dims = shape
        if after is not None:
            layer.second_transpose = after
        return self._named(layer)

    def _named(self, layer: Any) -> Any:
        layer.name = f"{self._product.name} {self._network.num_layers}"  # unique, as it must be
        layer.metadata = self._product.metadata
        return layer.get_output(0)


def _take_place(network: Any, layers: list[Any], old: Any, new: Any) -> None:
    """Lets the readers of one tensor read another."""
    for layer in layers:
        for index in range(layer.num_inputs):
            read = layer.get_input(index)
            if read is not None and read.name == old.name:
                layer.set_input(index, new)
    if old.is_network_output:
        name = old.name
        network.unmark_output(old)
        old.name = f"{name} of the product"
        new.name = name
        network.mark_output(new)
