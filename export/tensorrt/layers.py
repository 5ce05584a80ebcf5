"""The layers of an engine of TensorRT for RTX, from the list that its builder writes to the log.

TensorRT's inspector needs a device. The builder lists the same layers at the end of a build: one
line each, with the type and layout of everything that the layer reads and writes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE = re.compile(
    r"Name: (?P<name>.*?), LayerType: (?P<kind>\w+), Inputs: (?P<inputs>.*?), "
    r"(?:Constants: (?P<constants>.*?), )?Outputs: (?P<outputs>.*?), TacticName: .*?, "
    r"StreamId: \d+, Metadata: ?(?P<nodes>.*)"
)
_TENSOR = re.compile(
    r"\{ Name: (?P<name>[^,]*), Dimensions: \[(?P<shape>[\d,]*)\].*?"
    r"Datatype: (?P<type>\w+), Format: (?P<layout>[^}]*?) \}"
)
_NODE = re.compile(r"\[ONNX Layer: ([^\]]*)\]")
# They order the streams and compute nothing.
_EVENTS = frozenset({"signal", "wait"})
_PRODUCTS = frozenset({"correlation", "deconv", "gemm"})


@dataclass(frozen=True)
class LayerTensor:
    """What a layer reads or writes.

    Attributes:
        type: such as "Float", "Half" or "Int8".
        layout: order of the values in memory, in the library's words.
    """

    name: str
    shape: tuple[int, ...]
    type: str
    layout: str


@dataclass(frozen=True)
class Layer:
    """A layer of an engine: one kernel.

    Attributes:
        kind: the library's word, such as "correlation", "gemm" or "kgen".
        nodes: names of the nodes of the ONNX graph that it computes.
    """

    name: str
    kind: str
    inputs: tuple[LayerTensor, ...]
    constants: tuple[LayerTensor, ...]
    outputs: tuple[LayerTensor, ...]
    nodes: tuple[str, ...]

    @property
    def is_product(self) -> bool:
        """Returns True for a convolution or matrix product, also when fused with others."""
        is_fused = self.kind == "runtime_fusion" and re.search("Corr|Deconv|Fc|Gemm", self.name)
        return self.kind in _PRODUCTS or bool(is_fused)

    @property
    def type(self) -> str:
        """Returns the type in which the layer computes: that of the values that it reads first."""
        return next((t.type for t in (*self.inputs, *self.outputs)), "")

    @property
    def moves_only(self) -> bool:
        """Returns True for a kernel that only converts or reorders values.

        The library names a generated kernel by its operations: Cast, Move, Reshape, Transpose.
        """
        operations = re.fullmatch(r"__myl_((?:Cast|Move|Resh|Tran)+)_myl\d+_\d+", self.name)
        return self.kind == "kgen" and operations is not None


def read_layers(text: str) -> tuple[Layer, ...]:
    """Parses the list of layers; leaves out those that only order the streams."""
    found = [_layer(line) for line in filter(None, map(_LINE.fullmatch, text.splitlines()))]
    return tuple(layer for layer in found if layer.kind not in _EVENTS)


def _layer(match: re.Match[str]) -> Layer:
    return Layer(
        name=match["name"],
        kind=match["kind"],
        inputs=_tensors(match["inputs"]),
        constants=_tensors(match["constants"] or ""),
        outputs=_tensors(match["outputs"]),
        nodes=tuple(_NODE.findall(match["nodes"])),
    )


def _tensors(text: str) -> tuple[LayerTensor, ...]:
    return tuple(
        LayerTensor(
            name=found["name"],
            shape=tuple(int(size) for size in found["shape"].split(",") if size),
            type=found["type"],
            layout=found["layout"],
        )
        for found in _TENSOR.finditer(text)
    )
