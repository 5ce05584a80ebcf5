"""INT8: graphs for TensorRT and for ONNX Runtime, and the images that calibrate them."""

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization.calibrate import TensorsData

from export.graph import save_graph
from export.precision.build_variants import (
    build_int8_for_onnxruntime,
    build_int8_for_openvino,
    build_int8_for_tensorrt,
    int8_nodes,
)
from export.precision.fp16 import SMALLEST_SCALE, to_half
from export.precision.int8 import (
    ONNXRUNTIME_FORMS,
    OPENVINO,
    TENSORRT,
    Form,
    check_tensorrt,
    quantise,
    quantiser_nodes,
    read_tensors,
)
from export.precision.nodes import lowerable_nodes, quantisable_nodes
from export.precision.outcome import INT8_BUDGET
from export.precision.ranges import (
    CALIBRATORS,
    Calibrator,
    best_clip,
    find_ranges,
    with_pixel_ends,
)
from export.precision.training_images import calibration_images
from inspection.engine import GraphShape, engine_class
from inspection.errors import BundleError, EngineError
from inspection.files import sha256_of
from inspection.images import encode_png
from inspection.preprocess import Preprocessing
from tests import tiny_convnet
from training.checkpoint import RunRecord
from training.config import DataConfig, TrainConfig

Weights = dict[str, npt.NDArray[np.float32]]


def ranges(graph: onnx.ModelProto, calibrator: Calibrator = "min-max") -> TensorsData:
    tensors = read_tensors(graph, int8_nodes(graph, has_backbone=True))
    return find_ranges(graph, tensors, tiny_convnet.images(), calibrator)


def test_what_is_quantised_are_convolutions_behind_the_first() -> None:
    graph = tiny_convnet.graph()
    assert quantisable_nodes(graph, tiny_convnet.BACKBONE) == ("second", "third")
    assert int8_nodes(graph, has_backbone=True) == ("second", "third", "skipped")
    assert quantisable_nodes(graph, ("second",)) == ("second",)


def test_few_channels_and_what_stands_behind_a_transpose_are_left_out() -> None:
    def change(nodes: list[onnx.NodeProto], weights: Weights) -> None:
        weights["w3"] = weights["w3"][:8]
        weights["b3"] = weights["b3"][:8]
        nodes[5:5] = [
            helper.make_node("Transpose", ["first_relu"], ["turned"], perm=[0, 1, 3, 2]),
        ]
        nodes[6].input[0] = "turned"

    graph = tiny_convnet.graph(change)
    assert quantisable_nodes(graph, lowerable_nodes(graph, has_backbone=True)) == ()
    judge = tiny_convnet.judge(graph)
    for variant in (
        build_int8_for_tensorrt(graph, judge, frozenset(), {}, has_backbone=True),
        build_int8_for_onnxruntime(graph, judge, {}, has_backbone=True),
    ):
        assert variant.graph is None
        assert variant.possible == 0


def test_onnxruntime_keeps_the_biases_of_a_graph_for_tensorrt(tmp_path: Path) -> None:
    def chain(nodes: list[onnx.NodeProto], weights: Weights) -> None:
        second, third = (n for n in nodes if n.output[0] in {"second", "third"})
        second.input.append("b3")
        third.input[0] = "second"
        weights["w2"] *= 1e-3  # their scale times that of the input is too small for FP16
        del nodes[6:8]

    graph = tiny_convnet.graph(chain)
    half = lowerable_nodes(graph, has_backbone=False)
    quantised = quantise(graph, ["second", "third"], ranges(graph), TENSORRT)
    made = to_half(quantised, frozenset(half) | quantiser_nodes(quantised, half))
    save_graph(made, tmp_path / "model.onnx")
    image = tiny_convnet.images(1)[0]
    expected, _ = tiny_convnet.run(graph, image)
    shape = GraphShape(tiny_convnet.SIZE, tiny_convnet.SIZE)
    with closing(engine_class("onnxruntime")(tmp_path / "model.onnx", shape, threads=1)) as engine:
        assert float(engine.infer(image).scores[0]) == pytest.approx(expected, rel=0.02)


def test_openvino_averages_what_is_not_quantised() -> None:
    def average(nodes: list[onnx.NodeProto], _: Weights) -> None:
        pool = helper.make_node(
            "AveragePool",
            ["second"],
            ["pooled"],
            kernel_shape=[3, 3],
            pads=[1, 1, 1, 1],
            count_include_pad=1,
        )
        place = next(n for n, node in enumerate(nodes) if "second" in node.input)
        nodes[place].input[:] = ["pooled" if x == "second" else x for x in nodes[place].input]
        nodes.insert(place, pool)

    graph = tiny_convnet.graph(average)
    made = quantise(graph, ["second", "third"], ranges(graph), OPENVINO)
    onnx.checker.check_model(made, full_check=True)
    (pool,) = [node for node in made.graph.node if node.op_type == "AveragePool"]
    assert list(pool.input) == ["second"]  # whose values are of both signs
    read = {name for node in made.graph.node for name in node.input}
    pairs = [n for n in made.graph.node if n.op_type in {"QuantizeLinear", "DequantizeLinear"}]
    assert pairs
    assert all(node.output[0] in read for node in pairs)
    assert tiny_convnet.judge(graph).judge(made).is_within(INT8_BUDGET)


@pytest.mark.parametrize("calibrator", CALIBRATORS)
def test_every_calibrator_finds_ranges_that_keep_the_budget(calibrator: Calibrator) -> None:
    graph = tiny_convnet.graph()
    found = ranges(graph, calibrator)
    low, high = found["first_relu"].range_value
    assert np.ravel(low)[0] <= 0 < np.ravel(high)[0]
    quantised = quantise(graph, ["second", "third"], found, TENSORRT)
    outcome = tiny_convnet.judge(graph).judge(quantised)
    assert outcome.is_within(INT8_BUDGET)
    assert outcome.parity.score > 0


def test_ranges_hold_what_black_and_white_parts_show() -> None:
    graph = tiny_convnet.graph()
    tensors = read_tensors(graph, int8_nodes(graph, has_backbone=True))
    good = tiny_convnet.images(2)  # grey, with little noise
    shown = with_pixel_ends(good)
    assert [image.mean() for image in shown[2:]] == [0, 255]
    assert {image.shape for image in shown} == {good[0].shape}
    saturated = tiny_convnet.judge(graph, [*good, np.full_like(good[0], 255)])
    errors = [
        saturated.judge(
            quantise(
                graph, ["second", "third"], find_ranges(graph, tensors, images, "min-max"), form
            )
        ).parity.score
        for form in (OPENVINO, TENSORRT)
        for images in (good, shown)
    ]
    assert errors[1] < errors[0] / 4
    assert errors[3] < errors[2] / 4


def test_the_graph_for_openvino_keeps_eight_bits_of_weights_and_unsigned_values() -> None:
    graph = tiny_convnet.graph()
    found = build_int8_for_openvino(
        graph, tiny_convnet.judge(graph), {"min-max": ranges(graph)}, has_backbone=True
    )
    assert (found.engine, found.form, found.lowered) == ("openvino", OPENVINO.name, 2)
    assert found.latency_ratio is not None
    assert found.graph is not None
    constants = {t.name: t for t in found.graph.graph.initializer}
    weights = [
        t for t in constants.values() if t.data_type == TensorProto.INT8 and len(t.dims) == 4
    ]
    assert [int(np.abs(numpy_helper.to_array(t)).max()) for t in weights] == [127, 127]
    quantised = [n for n in found.graph.graph.node if n.op_type == "QuantizeLinear"]
    assert {constants[n.input[2]].data_type for n in quantised} == {TensorProto.UINT8}
    assert {node.domain for node in found.graph.graph.node} == {""}


def test_the_squared_error_decides_where_to_clip() -> None:
    edges = np.linspace(-1, 1, 2049)
    even = np.ones(2048, np.int64)
    assert best_clip(even, edges, -1.0, 1.0) > 0.98
    narrow = even.copy()
    narrow[:900], narrow[1148:] = 0, 0
    narrow *= 10_000
    narrow[0] = narrow[-1] = 1  # two outliers
    assert best_clip(narrow, edges, -1.0, 1.0) < 0.5


def test_the_graph_for_tensorrt_is_symmetric_per_channel_and_on_convolutions_only() -> None:
    graph = tiny_convnet.graph()
    quantised = quantise(graph, ["second", "third"], ranges(graph), TENSORRT)
    constants = {t.name: t for t in quantised.graph.initializer}
    pairs = [n for n in quantised.graph.node if n.op_type.endswith("uantizeLinear")]
    assert len(pairs) == 8  # input and weight of two convolutions, there and back
    assert {constants[n.input[2]].data_type for n in pairs} == {TensorProto.INT8}
    sizes = {n.input[0]: constants[n.input[1]].dims[:] for n in pairs if n.input[0] in constants}
    assert sizes == {"w2": [16], "w3": [16]}
    convolutions = [node for node in quantised.graph.node if node.op_type == "Conv"]
    assert convolutions[0].input[:] == ["centred", "w1"]
    assert convolutions[2].input[2] == "b3"
    assert quantised.opset_import[0].version == 19
    assert [node.op_type for node in quantised.graph.node].count("Relu") == 3


def test_the_rest_of_it_can_be_fp16() -> None:
    graph = tiny_convnet.graph()
    half = frozenset(tiny_convnet.BACKBONE)
    quantised = quantise(graph, ["second", "third"], ranges(graph), TENSORRT)
    mixed = to_half(quantised, half | quantiser_nodes(quantised, half))
    pairs = [n for n in mixed.graph.node if n.op_type.endswith("uantizeLinear")]
    scales = {t.name: t for t in mixed.graph.initializer if t.name in {n.input[1] for n in pairs}}
    assert {t.data_type for t in scales.values()} == {TensorProto.FLOAT16}
    assert all(
        (numpy_helper.to_array(t) >= np.float16(SMALLEST_SCALE)).all() for t in scales.values()
    )
    assert sum(node.op_type == "Cast" for node in mixed.graph.node) == 3  # pixels, in, out
    check_tensorrt(mixed)
    assert tiny_convnet.judge(graph).judge(mixed).is_within(INT8_BUDGET)


def test_pairs_at_the_border_to_fp32_take_what_their_readers_take() -> None:
    graph = tiny_convnet.graph()
    half = frozenset(tiny_convnet.BACKBONE) - {"third"}
    quantised = quantise(graph, ["second", "third"], ranges(graph), TENSORRT)
    mixed = to_half(quantised, half | quantiser_nodes(quantised, half))
    assert tiny_convnet.judge(graph).judge(mixed).is_within(INT8_BUDGET)


def test_a_scale_never_underflows() -> None:
    def change(_: list[onnx.NodeProto], weights: Weights) -> None:
        weights["w2"][3] *= 1e-9

    graph = tiny_convnet.graph(change)
    half = frozenset(tiny_convnet.BACKBONE)
    quantised = quantise(graph, ["second"], ranges(graph), TENSORRT)
    mixed = to_half(quantised, half | quantiser_nodes(quantised, half))
    check_tensorrt(mixed)


@pytest.mark.parametrize("form", ONNXRUNTIME_FORMS, ids=lambda form: form.name)
def test_every_form_for_onnx_runtime_runs_and_tensorrt_would_refuse_it(form: Form) -> None:
    graph = tiny_convnet.graph()
    nodes = int8_nodes(graph, has_backbone=True)
    quantised = quantise(graph, nodes, ranges(graph), form)
    assert tiny_convnet.judge(graph).judge(quantised).is_within(INT8_BUDGET)
    with pytest.raises(EngineError, match=r"the INT8 graph is not for TensorRT: .* zero point"):
        check_tensorrt(quantised)


def test_pairs_that_tensorrt_takes_badly_are_refused() -> None:
    def change(nodes: list[onnx.NodeProto], _: Weights) -> None:
        nodes.insert(
            5, helper.make_node("Transpose", ["first_relu"], ["turned"], perm=[0, 1, 3, 2])
        )
        nodes[6].input[0] = "turned"

    graph = tiny_convnet.graph(change)
    with pytest.raises(EngineError, match="quantised right behind a Transpose"):
        quantise(graph, ["second"], ranges(graph), TENSORRT)


def test_seven_bits_where_eight_could_overflow() -> None:
    graph = tiny_convnet.graph()
    form = ONNXRUNTIME_FORMS[0]
    quantised = quantise(graph, ["second"], ranges(graph), form)
    weights = {t.name: numpy_helper.to_array(t) for t in quantised.graph.initializer}
    assert np.abs(weights["w2_quantized"].astype(int)).max() <= 64


def record(folder: Path, fitted: tuple[str, ...]) -> RunRecord:
    data: dict[str, Any] = {"data": DataConfig(folder=folder, image_size=(32, 32))}
    fields: dict[str, Any] = {
        "config": TrainConfig.model_construct(**data),
        "preprocessing": Preprocessing(
            frame_height=(8, 8), frame_width=(8, 8), channels=3, height=16, width=16
        ),
        "fitted_sha256": fitted,
    }
    return RunRecord.model_construct(**fields)


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """A data set of eight good images."""
    folder = tmp_path / "parts/train/good"
    folder.mkdir(parents=True)
    (tmp_path / "parts/test/good").mkdir(parents=True)
    for number in range(8):
        frame = np.full((8, 8, 3), 20 * number, np.uint8)
        (folder / f"{number}.png").write_bytes(encode_png(frame))
    (tmp_path / "parts/test/good/0.png").write_bytes(encode_png(np.zeros((8, 8, 3), np.uint8)))
    return tmp_path / "parts"


def test_training_images_are_found_by_their_hash(parts: Path) -> None:
    good = sorted((parts / "train/good").iterdir())
    fitted = tuple(sha256_of(path) for path in good[:5])
    images = calibration_images(record(parts, fitted), None, print)
    assert [image.shape for image in images] == [(1, 16, 16, 3)] * 5
    assert sorted(int(image[0, 0, 0, 0]) for image in images) == [0, 20, 40, 60, 80]
    moved = parts.rename(parts.with_name("moved"))
    assert len(calibration_images(record(parts, fitted), moved / "train/good", print)) == 5


def test_images_that_are_gone_are_asked_for(parts: Path) -> None:
    fitted = tuple(sha256_of(path) for path in sorted((parts / "train/good").iterdir())[:5])
    moved = parts.rename(parts.with_name("moved"))
    with pytest.raises(BundleError, match=r"are gone \(.*no such folder.*\): give the folder"):
        calibration_images(record(parts, fitted), None, print)
    with pytest.raises(BundleError) as caught:
        calibration_images(record(parts, fitted), moved / "test/good", print)
    assert str(caught.value) == (
        f"{moved / 'test/good'}: holds 1 of the good training images, and the calibration of "
        "INT8 needs at least 4: give the folder that holds them now with --calibration FOLDER"
    )
