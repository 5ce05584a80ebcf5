"""Tests that a graph that reaches outside its file is refused, wherever the reach is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspection.bundle import Bundle, open_bundle
from inspection.engine import GraphShape, engine_class
from inspection.engine.graph_file import MESSAGES, reason_against, require_self_contained
from inspection.errors import BundleError, EngineError
from inspection.files import sha256_of

onnx = pytest.importorskip("onnx", reason="needs the package onnx")
VALUES = np.ones(4, np.float32)


def external(name: str = "w") -> Any:
    tensor = onnx.TensorProto(name=name, data_type=onnx.TensorProto.FLOAT, dims=[4])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="w.bin")
    return tensor


def inner() -> Any:
    graph = onnx.GraphProto(name="inner")
    graph.initializer.append(external())
    return graph


def node(**attributes: object) -> Any:
    made: Any = onnx.helper.make_node("Relu", ["x"], ["y"], **attributes)
    return made


def sparse() -> Any:
    return onnx.SparseTensorProto(values=external(), dims=[8])


def in_initialiser(model: Any) -> None:
    model.graph.initializer.append(external())


def in_sparse_values(model: Any) -> None:
    model.graph.sparse_initializer.append(sparse())


def in_sparse_indices(model: Any) -> None:
    model.graph.sparse_initializer.add(indices=external())


def in_attribute(model: Any) -> None:
    model.graph.node.append(node(value=external()))


def in_attribute_list(model: Any) -> None:
    model.graph.node.append(node(values=[external()]))


def in_sparse_attribute(model: Any) -> None:
    model.graph.node.append(node(value=sparse()))


def in_sparse_attribute_list(model: Any) -> None:
    model.graph.node.append(node(values=[sparse()]))


def in_subgraph(model: Any) -> None:
    model.graph.node.append(node(body=inner()))


def in_subgraph_list(model: Any) -> None:
    model.graph.node.append(node(bodies=[inner()]))


def in_subgraph_of_a_subgraph(model: Any) -> None:
    graph = onnx.GraphProto(name="middle")
    graph.node.append(node(body=inner()))
    model.graph.node.append(node(body=graph))


def in_function(model: Any) -> None:
    model.functions.add(name="f").node.append(node(value=external()))


def in_default_of_a_function(model: Any) -> None:
    model.functions.add(name="f").attribute_proto.append(
        onnx.helper.make_attribute("value", external())
    )


def in_training(model: Any) -> None:
    model.training_info.add().algorithm.CopyFrom(inner())


def in_training_start(model: Any) -> None:
    model.training_info.add().initialization.CopyFrom(inner())


EXTERNAL = [
    in_initialiser,
    in_sparse_values,
    in_sparse_indices,
    in_attribute,
    in_attribute_list,
    in_sparse_attribute,
    in_sparse_attribute_list,
    in_subgraph,
    in_subgraph_list,
    in_subgraph_of_a_subgraph,
    in_function,
    in_default_of_a_function,
    in_training,
    in_training_start,
]


def graph_with(change: Callable[[Any], None]) -> Any:
    model = onnx.ModelProto(ir_version=9)
    model.graph.initializer.append(onnx.numpy_helper.from_array(VALUES, "kept"))
    change(model)
    return model


@pytest.mark.parametrize("change", EXTERNAL)
def test_external_data_is_found_everywhere(change: Callable[[Any], None]) -> None:
    reason = reason_against(graph_with(change).SerializeToString())
    assert reason == "keeps the values of the tensor 'w' in another file"


def test_either_sign_of_external_data_is_enough() -> None:
    for field in ("data_location", "external_data"):
        tensor = external()
        tensor.ClearField(field)
        model = graph_with(lambda _: None)
        model.graph.initializer.append(tensor)
        assert "keeps the values of the tensor 'w'" in str(
            reason_against(model.SerializeToString())
        )
    inside = external()
    inside.ClearField("external_data")
    inside.data_location = onnx.TensorProto.DEFAULT
    kept = graph_with(lambda m: m.graph.initializer.append(inside))
    assert reason_against(kept.SerializeToString()) is None


def test_a_later_value_does_not_hide_an_earlier_one() -> None:
    model = graph_with(in_initialiser).SerializeToString()
    hidden = graph_with(lambda _: None).SerializeToString()
    assert onnx.ModelProto.FromString(model + hidden).graph.initializer[1].external_data
    assert reason_against(model + hidden) is not None
    assert reason_against(hidden + model) is not None


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (
            lambda n: n.MergeFrom(onnx.NodeProto(op_type="Own", domain="com.example")),
            "has the operator 'Own' of 'com.example', which ONNX does not define",
        ),
        (
            lambda n: n.MergeFrom(onnx.NodeProto(op_type="PyOp", domain="com.microsoft")),
            "has the operator 'PyOp' of 'com.microsoft', which ONNX does not define",
        ),
        (
            lambda n: n.MergeFrom(onnx.NodeProto(op_type="EPContext")),
            "has the operator 'EPContext', which takes the compiled binary of a device",
        ),
        (
            lambda n: n.attribute.add(name="ep_cache_context", s=b"model.bin"),
            "has a node with 'ep_cache_context', which takes the compiled binary",
        ),
        (
            lambda n: n.attribute.add(name="plugin_version", s=b"1"),
            "has a node with 'plugin_version', which calls a plugin of TensorRT",
        ),
        (
            lambda n: n.attribute.add(name="plugin_namespace", s=b""),
            "has a node with 'plugin_namespace', which calls a plugin of TensorRT",
        ),
    ],
)
def test_operators_that_reach_outside_are_named(
    changed: Callable[[Any], None], expected: str
) -> None:
    reaching = node()
    changed(reaching)
    model = graph_with(lambda m: m.graph.node.append(reaching))
    assert str(reason_against(model.SerializeToString())).startswith(expected)


def test_quantised_operators_of_onnx_runtime_are_taken() -> None:
    quantised = onnx.NodeProto(op_type="QLinearAdd", domain="com.microsoft")
    model = graph_with(lambda m: m.graph.node.append(quantised))
    assert reason_against(model.SerializeToString()) is None


def test_options_of_a_runtime_in_the_metadata_are_named() -> None:
    model = graph_with(lambda m: m.metadata_props.add(key="ort_config", value="{}"))
    assert str(reason_against(model.SerializeToString())).startswith(
        "has the metadata 'ort_config'"
    )
    author = graph_with(lambda m: m.metadata_props.add(key="author", value="ort_config"))
    assert reason_against(author.SerializeToString()) is None


def test_every_way_to_a_tensor_or_node_is_followed() -> None:
    """Compares the table with the messages of the installed ONNX."""
    sought = {"TensorProto", "NodeProto"}

    def leads(descriptor: Any, seen: frozenset[str]) -> bool:
        name = descriptor.name
        if name in sought:
            return True
        children = [f.message_type for f in descriptor.fields if f.message_type]
        return any(leads(c, seen | {name}) for c in children if c.name not in seen)

    waiting, found = [onnx.ModelProto.DESCRIPTOR], {}
    while waiting:
        descriptor = waiting.pop()
        found[descriptor.name] = {
            field.number: field.message_type.name
            for field in descriptor.fields
            if field.message_type and leads(field.message_type, frozenset([descriptor.name]))
        }
        waiting += [
            f.message_type
            for f in descriptor.fields
            if f.number in found[descriptor.name] and f.message_type.name not in found
        ]
    found["ModelProto"][14] = "StringStringEntryProto"
    found["StringStringEntryProto"] = {}
    assert found == MESSAGES


def wrapped(number: int, content: bytes) -> bytes:
    """Returns a message with `content` as its field `number`."""
    size, length = [], len(content)
    while length > 0x7F:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([number << 3 | 2, *size, length]) + content


def test_deep_graphs_and_other_files_are_refused_and_do_not_overflow() -> None:
    content = b""
    for number in [6, 5, 1] * 40 + [7]:  # attribute of a node of a graph of an attribute
        content = wrapped(number, content)
    assert reason_against(content) == ("is not an ONNX graph (it nests more than 100 messages)")
    for content in (b"ORTM" * 8, b"<?xml version='1.0'?>", b"\x3b", b"\x80" * 11, b"\x3a\x7f"):
        assert str(reason_against(content)).startswith("is not an ONNX graph")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(content: bytes) -> None:
    reason = reason_against(content)
    assert reason is None or reason


def reaching(bundle: Bundle) -> Any:
    """Returns the graph of the bundle with a weight of 255 in the file `w.bin` beside it."""
    model = onnx.load(bundle.folder / "model.onnx")
    white = next(tensor for tensor in model.graph.initializer if tensor.name == "white")
    (bundle.folder / "w.bin").write_bytes(white.raw_data)
    white.ClearField("raw_data")
    white.data_location = onnx.TensorProto.EXTERNAL
    white.external_data.add(key="location", value="w.bin")
    return model


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_engines_would_read_the_file_beside_the_graph(tiny_bundle: Bundle, engine: str) -> None:
    """The reason for the refusal: these engines have no option against it."""
    pytest.importorskip(engine)
    model = reaching(tiny_bundle)
    path = tiny_bundle.folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    scores = []
    for weight in (255.0, 51.0):
        (tiny_bundle.folder / "w.bin").write_bytes(np.float32(weight).tobytes())
        opened = engine_class(engine)(path, GraphShape(32, 32), threads=1)
        scores.append(float(opened.infer(np.full((1, 32, 32, 3), 51, np.uint8)).scores[0]))
        opened.close()
    assert scores == pytest.approx([0.2, 1.0])


def test_a_bundle_with_external_data_does_not_open(tiny_bundle: Bundle) -> None:
    path = tiny_bundle.folder / "model.onnx"
    path.write_bytes(reaching(tiny_bundle).SerializeToString())
    changed = {
        "files": {**tiny_bundle.manifest.files, "model.onnx": sha256_of(path)},
        "sizes": {**tiny_bundle.manifest.sizes, "model.onnx": path.stat().st_size},
    }
    forged = tiny_bundle.manifest.model_copy(update=changed).sealed()
    (tiny_bundle.folder / "manifest.json").write_text(forged.model_dump_json())
    with pytest.raises(BundleError) as refused:
        open_bundle(tiny_bundle.folder)
    assert str(refused.value) == (
        f"{path}: keeps the values of the tensor 'white' in another file, and no hash of the "
        "bundle would cover that: do not use it; export the bundle again"
    )


def test_a_graph_that_protobuf_cannot_hold_is_refused() -> None:
    content = graph_with(lambda _: None).SerializeToString()
    assert reason_against(content, max_bytes=len(content)) is None
    assert reason_against(content, max_bytes=len(content) - 1) == (
        f"has {len(content)} bytes, and an ONNX graph of more than {len(content) - 1} keeps its "
        "weights in other files"
    )


def test_an_empty_file_is_no_graph(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    with pytest.raises(BundleError, match="is empty"):
        require_self_contained(tmp_path / "model.onnx")


def test_export_writes_no_such_graph(tmp_path: Path) -> None:
    graph = pytest.importorskip("export.graph", reason="needs the extra export")
    with pytest.raises(EngineError, match=r"model\.onnx: the graph keeps the values of the tensor"):
        graph.save_graph(graph_with(in_initialiser), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []
