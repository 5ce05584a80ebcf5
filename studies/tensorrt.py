"""Build every graph of every model with NVIDIA's compiler, and list what the engines consist of.

    python -m studies.tensorrt --out docs/measured/tensorrt.md RUN ...

TensorRT for RTX builds without a GPU, so nothing runs: no results and no times of the engines. The
models have the sizes of the configurations for a CPU and weights of a generator: the layers of an
engine do not depend on the weights. The results of the same graphs on ONNX Runtime come from
trained runs; see `studies.polygraphy_results`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import onnx

from export.graph import save_graph
from export.macs import macs_by_node
from export.precision.outcome import FP16_BUDGET
from export.tensorrt.build import BuildOptions, build_plan
from export.tensorrt.layers import Layer, read_layers
from inspection.engine.rtx_cards import capabilities_of
from inspection.engine.tensorrt_bindings import load_bindings, process_logger
from linewarden.parser import Parser
from studies import polygraphy_results
from studies.pages.sections import write_page
from tests.doubles import small_models
from tests.doubles.engine_cases import Quiet
from tests.graph_variants import convolutions_of, graphs_of
from training.models.base import AnomalyModel

CARDS = ("rtx-ampere", "rtx-ada", "rtx-blackwell")
WIDE = {"name": "wide_resnet50_2.tv_in1k", "weights": "none"}
MODELS: dict[str, Callable[[], AnomalyModel]] = {
    "supersimplenet, resnet18, 256": lambda: small_models.small_supersimplenet(
        (256, 256), segmentation_channels=256, classification_channels=128
    ),
    "supersimplenet, wide_resnet50_2, 256": lambda: small_models.small_supersimplenet(
        (256, 256), segmentation_channels=1024, classification_channels=128, backbone=WIDE
    ),
    "simplenet, resnet18, 224": lambda: small_models.small_simplenet(
        (224, 224), width=384, hidden=256
    ),
    "uniad, resnet18, 224": lambda: small_models.small_uniad(
        (224, 224), width=128, heads=8, feedforward=256, neighbours=[7, 7]
    ),
    "differnet, 256": lambda: small_models.small_differnet((256, 256), hidden=128),
    "differnet_spatial, 256": lambda: small_models.small_differnet_spatial((256, 256), hidden=64),
    "ganomaly, 128": lambda: small_models.small_ganomaly(128, channels=32, latent=64),
}
METHOD = """\
# Engines of NVIDIA's compiler

Made by `make tensorrt-study`. TensorRT for RTX {version} built one engine of each graph for
{cards}, on a CPU without a GPU. Nothing ran: results and times come
from `linewarden build --verify` on a card. The layers are those that the builder lists at the end
of a build; one layer is one kernel. A convolution has the type of the values that it reads. A layer
that only moves values converts or reorders them. A layer requantises when it turns the result of
an INT8 convolution into INT8 again: where the compiler fuses this into the convolution, there is
none. Every node that may leave FP32 has left it; in a bundle, measurement may keep some.

"""
RESULTS = f"""
## Results on ONNX Runtime

NVIDIA's Polygraphy ran the FP32 graph and each graph of lower precision on ONNX Runtime, on test
images, and compared every output. FP16 values are rounded as on a device. The difference is the
largest of all frames, over the spread of the FP32 values. All nodes left FP32 that may, or all but
those of the head. An export takes nodes back beyond {FP16_BUDGET.score:.1%} in FP16; here none is.

"""
COLUMNS = (
    "model",
    "graph",
    "nodes",
    "layers",
    "convolutions FP32 / FP16 / INT8",
    "matrix products FP32 / FP16",
    "MACs in FP32",
    "only move",
    "requantise",
    "ONNX MB",
    "engine MB",
    "build s",
)


class Built(NamedTuple):
    """An engine of one graph."""

    graph: onnx.ModelProto
    plan_bytes: int
    seconds: float
    layers: tuple[Layer, ...]


def main() -> None:
    parser = Parser(
        prog="python -m studies.tensorrt",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="finished runs")
    parser.add_argument("--out", required=True, type=Path, help="Markdown to write")
    args = parser.parse_args()
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for name, make in MODELS.items():
        for precision, graph in graphs_of(make()).items():
            print(f"{name}: {precision}", flush=True)
            lines.append(f"| {name} | {precision} | {' | '.join(figures(build(graph)))} |")
    version = load_bindings("tensorrt-rtx").__version__
    head = METHOD.format(version=version, cards=", ".join(CARDS))
    results = RESULTS + polygraphy_results.table(args.runs)
    write_page(args.out, head + "\n".join(lines) + "\n" + remarks() + results)


def build(graph: onnx.ModelProto) -> Built:
    """Builds one engine for all cards of the study."""
    trt = load_bindings("tensorrt-rtx")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        save_graph(graph, path)
        started = time.monotonic()
        plan = build_plan(trt, path, BuildOptions(capabilities=capabilities_of(CARDS)), Quiet())
        seconds = time.monotonic() - started
    return Built(graph, len(plan), seconds, read_layers(process_logger(trt).layers))


def figures(built: Built) -> list[str]:
    """Returns the cells of one engine."""
    layers = built.layers
    convolutions = convolutions_of(built.graph, layers)
    products = [layer for layer in layers if layer.is_product and layer not in convolutions]
    return [
        str(len(built.graph.graph.node)),
        str(len(layers)),
        counts(convolutions, ("Float", "Half", "Int8")),
        counts(products, ("Float", "Half")),
        f"{fp32_share(built):.0%}",
        str(sum(layer.moves_only for layer in layers)),
        str(len(requantising(layers))),
        f"{built.graph.ByteSize() / 1e6:.1f}",
        f"{built.plan_bytes / 1e6:.1f}",
        f"{built.seconds:.1f}",
    ]


def fp32_share(built: Built) -> float:
    """Returns the share of the multiply-accumulates that FP32 layers compute."""
    macs = macs_by_node(built.graph)
    by_name = {node.name: macs[node.output[0]] for node in built.graph.graph.node}
    slow = {n for c in built.layers if c.is_product and c.type == "Float" for n in c.nodes}
    return sum(by_name.get(name, 0) for name in slow) / sum(by_name.values())


def counts(layers: Sequence[Layer], types: Sequence[str]) -> str:
    found = Counter(layer.type for layer in layers)
    return " / ".join(str(found[kind]) for kind in types)


def requantising(layers: Sequence[Layer]) -> list[Layer]:
    """Returns the layers that turn results of INT8 convolutions into INT8 again."""
    wide = {
        tensor.name
        for layer in layers
        if layer.is_product and layer.type == "Int8"
        for tensor in layer.outputs
        if tensor.type != "Int8"
    }
    return [
        layer
        for layer in layers
        if any(tensor.name in wide for tensor in layer.inputs)
        and any(tensor.type == "Int8" for tensor in layer.outputs)
    ]


def remarks() -> str:
    """Returns the reading of the table, which holds while its figures do."""
    return """
- **FP16**: no convolution is left in FP32. An export keeps a head in FP32 where FP16 moves the
  scores too far ([decision 1](../decisions/0001-precision-in-the-graph.md)): then 3 to 16
  convolutions stay, with 4% to 39% of the MACs. With `linewarden build --tf32` they run on the
  tensor cores, when the golden frames pass.
- **INT8**: each INT8 convolution of this library gives FP32 or FP16, and a layer of its own turns
  that into INT8 again. No placement of Q/DQ avoids it: the layer was there with scales in FP32 and
  in FP16, for each channel and for the tensor, with and without bias and ReLU, and with weights
  that are INT8 already. NVIDIA's support matrix lists INT8 for products with INT8 weights alone. So
  expect FP16 to be the fastest on an RTX card; `build --verify` times both and keeps INT8 only
  where it is faster. This study cannot show what TensorRT itself makes of the same graphs.
"""


if __name__ == "__main__":
    main()
