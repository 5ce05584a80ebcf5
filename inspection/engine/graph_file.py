"""Finds what an ONNX file reaches outside itself, beyond the hash that a manifest has of it.

ONNX Runtime and OpenVINO read external data from the folder of the graph and have no option against
it, so this file looks at a graph before an engine does. It walks through the protobuf wire format
(https://protobuf.dev/programming-guides/encoding) and follows the messages of onnx.proto that can
hold a tensor, a node or the metadata of the model: a device has no package `onnx`.

One occurrence is enough, because protobuf lets a later value of a field replace an earlier one.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from inspection.errors import BundleError

GRAPH_SUFFIX = ".onnx"
# Protobuf has no larger message.
MAX_GRAPH_BYTES = (1 << 31) - 1

# Field number to message, for each message on the way to a tensor, a node or metadata.
MESSAGES: dict[str, dict[int, str]] = {
    "ModelProto": {
        7: "GraphProto",
        14: "StringStringEntryProto",
        20: "TrainingInfoProto",
        25: "FunctionProto",
    },
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto",
        6: "GraphProto",
        10: "TensorProto",
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "TensorProto": {},
    "StringStringEntryProto": {},
}

# Operators of ONNX itself compute. Those of other domains belong to a runtime: some open files, and
# some call a library that somebody has loaded. ONNX Runtime's INT8 form has these, which compute.
_DOMAINS = frozenset([b"", b"ai.onnx", b"ai.onnx.ml"])
_RUNTIME_DOMAIN = b"com.microsoft"
_RUNTIME_OPERATORS = frozenset(
    [
        "DequantizeLinear",
        "QGemm",
        "QLinearAdd",
        "QLinearAveragePool",
        "QLinearConcat",
        "QLinearGlobalAveragePool",
        "QLinearLeakyRelu",
        "QLinearMul",
        "QLinearSigmoid",
        "QLinearSoftmax",
        "QLinearWhere",
        "QuantizeLinear",
    ]
)
_OPERATORS = {b"EPContext": "takes the compiled binary of a device from a file or from the node"}
_ATTRIBUTES = {
    b"ep_cache_context": "takes the compiled binary of a device from a file or from the node",
    b"plugin_version": "calls a plugin of TensorRT",
    b"plugin_namespace": "calls a plugin of TensorRT",
}
_METADATA = {b"ort_config": "holds options of ONNX Runtime, which can name files and libraries"}
_KEY, _TENSOR_NAME, _EXTERNAL_DATA, _DATA_LOCATION = 1, 8, 13, 14
_OPERATOR, _DOMAIN, _ATTRIBUTE_NAME = 4, 7, 1

_MAX_DEPTH = 100  # the limit of protobuf's own parser
_MAX_FIELD = (1 << 29) - 1
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SHOWN = 80


class _MalformedError(Exception):
    """The bytes are not a message of ONNX."""


def require_self_contained(path: Path) -> None:
    """Raises BundleError when the file `path` is no ONNX graph, or reaches outside itself."""
    reason: str | None = "is empty"
    if path.stat().st_size:
        with (
            path.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            reason = reason_against(content)
    if reason is not None:
        raise BundleError(
            f"{path}: {reason}, and no hash of the bundle would cover that: do not use it; export "
            "the bundle again"
        )


def reason_against(content: bytes | mmap.mmap, *, max_bytes: int = MAX_GRAPH_BYTES) -> str | None:
    """Returns why a bundle takes no such ONNX graph, or None.

    Reasons are external data in a tensor (an initialiser, also a sparse one, an attribute, a
    subgraph, a function, training information), an operator outside ONNX, and options of a runtime.
    """
    with memoryview(content) as view:
        if len(view) > max_bytes:
            return (
                f"has {len(view)} bytes, and an ONNX graph of more than {max_bytes} keeps its "
                "weights in other files"
            )
        try:
            return next(_reasons(view), None)
        except _MalformedError as error:
            return f"is not an ONNX graph ({error})"


def _reasons(view: memoryview) -> Iterator[str]:
    waiting = [("ModelProto", 0, len(view), 0)]
    while waiting:
        message, start, end, depth = waiting.pop()
        if depth > _MAX_DEPTH:
            raise _MalformedError(f"it nests more than {_MAX_DEPTH} messages")
        for number, low, high in _fields(view, start, end):
            child = MESSAGES[message].get(number)
            if child is not None:
                waiting.append((child, low, high, depth + 1))
            elif (message, number) in _SUSPECTS:
                yield from _reason(view, message, number, (low, high), (start, end))


# The fields that can hold a reason; any wire type counts.
_SUSPECTS = frozenset(
    [
        ("StringStringEntryProto", _KEY),
        ("TensorProto", _EXTERNAL_DATA),
        ("TensorProto", _DATA_LOCATION),
        ("NodeProto", _OPERATOR),
        ("NodeProto", _DOMAIN),
        ("AttributeProto", _ATTRIBUTE_NAME),
    ]
)


def _reason(
    view: memoryview, message: str, number: int, field: tuple[int, int], around: tuple[int, int]
) -> Iterator[str]:
    """Yields what a field with the bytes `field` in the message `around` is a reason for."""
    content = bytes(view[slice(*field)])
    if message == "TensorProto":
        # DEFAULT is the zero of DataLocation.
        if number == _EXTERNAL_DATA or content.strip(b"\x00\x80"):
            name = _text(view, around, _TENSOR_NAME)
            yield f"keeps the values of the tensor {name!r} in another file"
    elif (message, number) == ("NodeProto", _DOMAIN):
        operator, domain = _text(view, around, _OPERATOR), _shown(content)
        is_known = content == _RUNTIME_DOMAIN and operator in _RUNTIME_OPERATORS
        if content not in _DOMAINS and not is_known:
            yield f"has the operator {operator!r} of {domain!r}, which ONNX does not define"
    elif message == "NodeProto" and content in _OPERATORS:
        yield f"has the operator {_shown(content)!r}, which {_OPERATORS[content]}"
    elif message == "AttributeProto" and content in _ATTRIBUTES:
        yield f"has a node with {_shown(content)!r}, which {_ATTRIBUTES[content]}"
    elif message == "StringStringEntryProto" and content in _METADATA:
        yield f"has the metadata {_shown(content)!r}, which {_METADATA[content]}"


def _fields(view: memoryview, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yields number and range of each field of a message; of a number, the range of its bytes."""
    while start < end:
        tag, start = _varint(view, start, end)
        number, wire, low = tag >> 3, tag & 7, start
        if wire == _VARINT:
            _, start = _varint(view, start, end)
        elif wire == _BYTES:
            size, low = _varint(view, start, end)
            start = low + size
        elif wire in (_FIXED32, _FIXED64):
            start += 4 if wire == _FIXED32 else 8
        else:
            raise _MalformedError(f"field {number} has the unknown type {wire}")
        if start > end or not 1 <= number <= _MAX_FIELD:
            raise _MalformedError(f"field {number} does not fit into its message")
        yield number, low, start


def _varint(view: memoryview, start: int, end: int) -> tuple[int, int]:
    """Returns a number of at most ten bytes, and the position behind it."""
    value = 0
    for position in range(start, min(start + 10, end)):
        byte = view[position]
        value |= (byte & 0x7F) << (7 * (position - start))
        if byte < 0x80:
            return value, position + 1
    raise _MalformedError("a number has no end")


def _text(view: memoryview, message: tuple[int, int], number: int) -> str:
    """Returns a text field of a message; "" when there is none."""
    found = [bytes(view[low:high]) for n, low, high in _fields(view, *message) if n == number]
    return _shown(found[-1]) if found else ""


def _shown(content: bytes) -> str:
    return content[:_SHOWN].decode(errors="replace")
