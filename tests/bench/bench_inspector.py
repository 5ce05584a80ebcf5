"""Measures an inspection: the fused graph against the literal one, and latency with idle gaps.

    python tests/bench/bench_inspector.py [backbone] [threads]

Prints medians of interleaved runs, so that load on the machine hits all sides alike, and the ratio
to the first row. The weights are random, which does not change the speed.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch

from export.graph import OPSET, build_graph, save_graph
from inspection.engine import GraphShape, engine_class
from inspection.preprocess import Preprocessing, preprocess
from training.demo_parts import draw_part
from training.models.supersimplenet import Config, Model

ROUNDS, SIZE = 40, (256, 256)


class Literal(torch.nn.Module):
    """Computes the model as in the paper, for export."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        prediction = self.model(images)
        return prediction.scores, prediction.maps


def main(backbone: str, threads: int) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    frame, _ = draw_part(1)
    spec = Preprocessing(
        frame_height=(480, 480), frame_width=(640, 640), channels=3, height=256, width=256
    )
    with tempfile.TemporaryDirectory() as folder:
        sides = candidates(backbone, threads, Path(folder))
        times = interleave(sides, preprocess(frame, spec)[np.newaxis])
        report(f"{backbone}, {threads} threads, {ROUNDS} interleaved rounds", times)
        fused = sides["fused, ONNX Runtime"]
        idle = with_gaps(lambda: fused(preprocess(frame, spec)[np.newaxis]))
    print(f"frame to map with 50 ms idle gaps: {percentiles(idle)}")


def candidates(
    backbone: str, threads: int, folder: Path
) -> dict[str, Callable[[np.ndarray], object]]:
    config = {"backbone": {"name": backbone, "weights": "none"}, "score": "classification"}
    model = Model(Config.model_validate(config), SIZE).eval()
    save_graph(build_graph(model), folder / "fused.onnx")
    engine = engine_class("onnxruntime")(folder / "fused.onnx", GraphShape(*SIZE), threads=threads)
    example = torch.zeros(1, *SIZE, 3, dtype=torch.uint8)
    torch.onnx.export(
        Literal(model).eval(),
        (example,),
        folder / "literal.onnx",
        dynamo=True,
        verbose=False,
        opset_version=OPSET,
        external_data=False,
    )
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    literal = ort.InferenceSession(folder / "literal.onnx", options)
    name = literal.get_inputs()[0].name

    def eager(batch: np.ndarray) -> object:
        with torch.inference_mode():
            return model(torch.from_numpy(batch))

    return {
        "literal, PyTorch": eager,
        "literal, ONNX Runtime": lambda batch: literal.run(None, {name: batch}),
        "fused, ONNX Runtime": engine.infer,
    }


def interleave(
    sides: dict[str, Callable[[np.ndarray], object]], batch: np.ndarray
) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in sides}
    for round_number in range(ROUNDS + 3):
        for name, run in sides.items():
            started = time.perf_counter()
            run(batch)
            if round_number >= 3:
                times[name].append(1e3 * (time.perf_counter() - started))
    return times


def with_gaps(run: Callable[[], object], count: int = 200, gap_s: float = 0.05) -> list[float]:
    times = []
    for _ in range(count):
        time.sleep(gap_s)
        started = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - started))
    return times


def report(title: str, times: dict[str, list[float]]) -> None:
    print(title)
    first = float(np.median(next(iter(times.values()))))
    for name, values in times.items():
        print(f"  {name:<24} {percentiles(values)}   {first / np.median(values):.2f} x")


def percentiles(values: list[float]) -> str:
    p50, p99, p999 = np.percentile(values, [50, 99, 99.9])
    return f"p50 {p50:7.1f}  p99 {p99:7.1f}  p99.9 {p999:7.1f} ms"


if __name__ == "__main__":
    given = dict(enumerate(sys.argv))
    main(given.get(1, "resnet18.tv_in1k"), int(given.get(2, "2")))
