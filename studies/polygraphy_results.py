"""Results of graphs of lower precision beside the FP32 graph, judged by NVIDIA's Polygraphy.

The study of the engines calls this for trained runs: `make tensorrt-study`. Polygraphy runs both
files on ONNX Runtime and compares every output of every frame. For FP16 it gets the twin that
rounds each value, because ONNX Runtime's CPU computes FP16 in FP32.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from polygraphy.backend.onnxrt import OnnxrtRunner, SessionFromOnnx
from polygraphy.comparator import Comparator, RunResults, SimpleCompareFunc
from polygraphy.logger import G_LOGGER

from export.graph import INPUT, build_graph, save_graph
from export.precision.build_variants import int8_nodes
from export.precision.fp16 import lossy_nodes, to_half
from export.precision.int8 import TENSORRT, quantise, quantiser_nodes, read_tensors
from export.precision.nodes import lowerable_nodes, quantisable_nodes
from export.precision.outcome import FP16_BUDGET
from export.precision.ranges import find_ranges
from export.precision.rounding import rounded_twin
from export.precision.training_images import calibration_images
from export.timing import Image
from inspection.images import read_image
from inspection.preprocess import preprocess
from linewarden.parser import Parser
from training.checkpoint import RunRecord, load_run
from training.data.layout import read_data_set

FRAMES = 24
COLUMNS = ("model", "data set", "graph", "in FP32", "frames", "output", "largest difference")


class Difference(NamedTuple):
    """Of one output: the largest difference over the spread of the FP32 values on all frames."""

    output: str
    share: float


def main() -> None:
    parser = Parser(
        prog="python -m studies.polygraphy_results",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="finished runs")
    print(table(parser.parse_args().runs))


def table(runs: Sequence[Path]) -> str:
    """Returns one line for each run, graph and output."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for run in runs:
        record, model = load_run(run)
        frames = frames_of(record)
        graph = build_graph(model)
        has_backbone = hasattr(model, "backbone")
        for name, kept, variant in variants(record, graph, has_backbone=has_backbone):
            print(f"{run}: {name}, {kept}", flush=True)
            lines += [
                f"| {record.config.model.name} | {record.name} | {name} | {kept} | {len(frames)} | "
                f"{found.output} | {found.share:.3%} |"
                for found in differences(graph, variant, frames)
            ]
    return "\n".join(lines) + "\n"


def frames_of(record: RunRecord) -> list[Image]:
    """Returns test images of the run's data set, evenly over good and bad ones."""
    samples = read_data_set(record.config.data.folder).test
    chosen = samples[:: max(1, -(-len(samples) // FRAMES))]
    return [
        preprocess(read_image(sample.path), record.preprocessing)[np.newaxis] for sample in chosen
    ]


def variants(
    record: RunRecord, graph: onnx.ModelProto, *, has_backbone: bool
) -> Iterator[tuple[str, str, onnx.ModelProto]]:
    """Yields the precision, the part that stays in FP32, and the graph."""
    bodies = {"head": lowerable_nodes(graph, has_backbone=has_backbone)}
    if has_backbone:
        bodies["-"] = lowerable_nodes(graph, has_backbone=False)
    half = {kept: frozenset(body) - lossy_nodes(graph, body) for kept, body in bodies.items()}
    for kept, nodes in half.items():
        yield "fp16", kept, to_half(graph, nodes)
    convolutions = quantisable_nodes(graph, bodies["head"])
    if not convolutions:
        return
    tensors = read_tensors(graph, int8_nodes(graph, has_backbone=has_backbone))
    images = calibration_images(record, None, lambda _: None)
    quantised = quantise(
        graph, convolutions, find_ranges(graph, tensors, images, "min-max"), TENSORRT
    )
    yield (
        "int8",
        "head",
        to_half(quantised, half["head"] | quantiser_nodes(quantised, half["head"])),
    )


def differences(
    graph: onnx.ModelProto, variant: onnx.ModelProto, frames: Sequence[Image]
) -> list[Difference]:
    """Lets Polygraphy run both graphs and compare every output of every frame."""
    G_LOGGER.module_severity = G_LOGGER.CRITICAL  # a mismatch is a figure of the table
    with tempfile.TemporaryDirectory() as folder:
        runners = []
        for name, model in (("fp32", graph), ("variant", rounded_twin(variant))):
            path = Path(folder) / f"{name}.onnx"
            save_graph(model, path)
            session = SessionFromOnnx(str(path), providers=["CPUExecutionProvider"])
            runners.append(OnnxrtRunner(session, name=name))
        results = Comparator.run(runners, data_loader=[{INPUT: frame} for frame in frames])
    spreads = spread_by_output(results)
    compared = Comparator.compare_accuracy(
        results,
        compare_func=SimpleCompareFunc(
            rtol=0.0,
            atol={name: FP16_BUDGET.score * spread for name, spread in spreads.items()},
            check_error_stat="max",
            fail_fast=False,
        ),
    )
    ((_, found),) = compared[0].items()
    return [
        Difference(name, max(float(frame[name].max_absdiff) for frame in found) / spread)
        for name, spread in spreads.items()
    ]


def spread_by_output(results: RunResults) -> dict[str, float]:
    """Returns the largest minus the smallest value of each output of the first runner."""
    iterations = results[0][1]
    names = list(iterations[0])
    return {
        name: float(
            max(np.max(frame[name]) for frame in iterations)
            - min(np.min(frame[name]) for frame in iterations)
        )
        for name in names
    }


if __name__ == "__main__":
    main()
