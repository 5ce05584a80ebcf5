"""A configuration of DeepStream's Gst-nvinfer, and a graph that takes its tensors.

Gst-nvinfer hands "float RGB/BGR/GRAY planar data" to TensorRT
(docs.nvidia.com/metropolis/deepstream/dev-guide/text/DS_plugin_gst-nvinfer.html) and cannot feed
uint8 NHWC. It also takes the first axis of each output for the batch, and an output without another
axis for empty (`SplitFullDims`, `normalizeDims` in nvdsinfer_func_utils.cpp). So the graph gets
other inputs and outputs, and nothing inside it changes: float32 (1, 3, H, W) BGR from 0 to 255 in,
`pred_score` (1, 1) out. The values are whole numbers, so that the results are the same bit for bit;
the export checks this.

nvinfer cannot do the resize: it scales with NvBufSurfTransform, which differs from
`inspection.preprocess`. Frames must arrive at the size of the graph, and the README says so.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from export.runtimes.base import README, Options, Served, preprocessing_text, write_client_record
from inspection.bundle import Bundle
from inspection.bundle.manifest import GraphIO
from inspection.engine.onnxruntime import BIAS_ROUNDING
from inspection.errors import EngineError
from inspection.files import utf8_path, write_bytes, write_text
from inspection.images import read_image
from inspection.opening import open_engine
from inspection.preprocess import preprocess

GRAPH, CONFIG = "model.deepstream.onnx", "config_infer_linewarden.txt"
# The name that nvinfer itself would give to its engine.
ENGINE = f"{GRAPH}_b1_gpu0_fp32.engine"
_PACKED, _FLAT_SCORE = "input_packed", "pred_score_flat"

_CONFIG = """\
# {name}: anomaly detection; all paths are relative to this file.
[property]
gpu-id=0
gie-unique-id=1
onnx-file={graph}
# Build it before the first start (README.md): otherwise nvinfer builds one with TF32, for minutes.
model-engine-file={engine}
# FP32: the precision is in the graph.
network-mode=0
batch-size=1
process-mode=1
interval=0
infer-dims=3;{height};{width}
# BGR, as in the training.
model-color-format=1
# Normalisation is in the graph: factor one, and no offsets.
net-scale-factor=1.0
maintain-aspect-ratio=0
# nvinfer hands the outputs to the application unchanged.
network-type=100
output-tensor-meta=1
output-blob-names=pred_score;anomaly_map
"""

_README = """\
# {name} on DeepStream

    trtexec --onnx={graph} --saveEngine={engine} --noTF32

Build with the TensorRT of the DeepStream that runs it (TensorRT 10 also wants `--stronglyTyped`).

    gst-launch-1.0 appsrc ! video/x-raw,format=RGBA,width={width},height={height} \\
      ! nvvideoconvert ! 'video/x-raw(memory:NVMM),format=RGBA' ! mux.sink_0 \\
      nvstreammux name=mux batch-size=1 width={width} height={height} \\
      ! nvinfer config-file-path={config} ! fakesink

**Frames must reach nvstreammux at {width} x {height} and as RGBA**: do the resize below in the
application that fills appsrc, and nothing is left to scale. nvstreammux and nvinfer scale frames of
another size in a way that no threshold was measured with; NV12 frames lose colour. nvinfer makes
planar BGR floats of the frame, and `{graph}` takes those.

A probe behind nvinfer reads `NvDsInferTensorMeta` of each frame (`NVDSINFER_TENSOR_OUTPUT_META`):
`pred_score` is one float, `anomaly_map` has {height} x {width}. There is no label file:
with `network-type=100` nvinfer would not read it. The application makes the verdict, as below.

The engine that trtexec builds is another artefact. Run the golden inputs through the finished
pipeline first. Thresholds of the ONNX file hold for the engine only as far as those scores agree.

{preprocessing}"""


def write_deepstream(bundle: Bundle, folder: Path, options: Options) -> list[str]:
    """Writes graph and configuration for Gst-nvinfer; implements `Writer`."""
    size = bundle.manifest.graph
    graph = planar_graph(onnx.load(bundle.file(options.artefact)), size)
    write_bytes(folder / GRAPH, graph.SerializeToString())
    frames = _check_same(bundle, options.artefact, folder / GRAPH)
    names = {
        "name": bundle.manifest.name,
        "graph": GRAPH,
        "engine": ENGINE,
        "config": CONFIG,
        "height": size.height,
        "width": size.width,
    }
    write_text(folder / CONFIG, _CONFIG.format(**names))
    readme = _README.format(**names, preprocessing=preprocessing_text(bundle))
    write_text(folder / README, readme)
    left_out = write_client_record(bundle, folder, [Served(GRAPH, options.artefact, "tensorrt")])
    return [
        f"{GRAPH}: {options.artefact} with float planar input, the same results on {frames} frames",
        f"{CONFIG}: for Gst-nvinfer; see {README} on the size of its frames",
        *left_out,
    ]


def planar_graph(model: onnx.ModelProto, size: GraphIO) -> onnx.ModelProto:
    """Gives `model` float32 (1, 3, H, W) as input and `pred_score` (1, 1) as output, in place.

    Raises:
        EngineError: something other than a cast reads the input.
    """
    graph = model.graph
    readers = [node for node in graph.node if "input" in node.input]
    if not readers or any(node.op_type != "Cast" for node in readers):
        raise EngineError(
            f"the input of the graph goes to {sorted({node.op_type for node in readers})} and not "
            "to a cast alone: it cannot take floats for DeepStream; export the bundle again"
        )
    for node in graph.node:
        node.input[:] = [_renamed(name) for name in node.input]
        node.output[:] = [_FLAT_SCORE if name == "pred_score" else name for name in node.output]
    graph.node.insert(0, helper.make_node("Transpose", ["input"], [_PACKED], perm=[0, 2, 3, 1]))
    graph.node.append(helper.make_node("Unsqueeze", [_FLAT_SCORE, "second_axis"], ["pred_score"]))
    graph.initializer.append(numpy_helper.from_array(np.array([1], dtype=np.int64), "second_axis"))
    planar = [1, 3, size.height, size.width]
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info("input", TensorProto.FLOAT, planar))
    outputs = {output.name: output for output in graph.output}
    score = helper.make_tensor_value_info("pred_score", TensorProto.FLOAT, [1, 1])
    outputs["pred_score"].CopyFrom(score)
    onnx.checker.check_model(model, full_check=True)
    return model


def _renamed(name: str) -> str:
    return {"input": _PACKED, "pred_score": _FLAT_SCORE}.get(name, name)


def _check_same(bundle: Bundle, artefact: str, planar: Path) -> int:
    """Counts the compared frames; raises EngineError when the graphs differ in a single bit."""
    with utf8_path(planar) as path:
        session = ort.InferenceSession(
            path, providers=["CPUExecutionProvider"], disabled_optimizers=[BIAS_ROUNDING]
        )
    images = _images(bundle)
    with closing(open_engine(bundle, engine="onnxruntime", artefact=artefact)) as engine:
        for image in images:
            expected = engine.infer(image)
            floats = np.ascontiguousarray(image.transpose(0, 3, 1, 2), dtype=np.float32)
            score, anomaly_map = session.run(["pred_score", "anomaly_map"], {"input": floats})
            same_score = np.array_equal(score[:, 0], expected.scores)
            if not (same_score and np.array_equal(anomaly_map, expected.maps)):
                raise EngineError(
                    f"{artefact}: its form for DeepStream gives other results (score "
                    f"{float(score[0, 0])!r}, not {float(expected.scores[0])!r}). Nothing was "
                    "written"
                )
    return len(images)


def _images(bundle: Bundle) -> list[npt.NDArray[np.uint8]]:
    """Returns the prepared golden frames (1, H, W, 3), and one of noise."""
    size = bundle.manifest.graph
    noise = np.random.default_rng(0).integers(
        0, 256, (1, size.height, size.width, 3), dtype=np.uint8
    )
    frames = [read_image(bundle.file(golden.frame)) for golden in bundle.manifest.golden]
    return [noise, *(preprocess(f, bundle.manifest.preprocessing)[np.newaxis] for f in frames)]
