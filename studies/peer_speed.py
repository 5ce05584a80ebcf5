"""Measure SuperSimpleNet beside anomalib, its peer, on one machine and in one run.

    python -m studies.peer_speed --peer build/peer-venv/bin/python --work build/peer-speed
        --out docs/measured/performance.md

The peer runs in a process of its own venv (`make peer-speed` makes it), each inferencer as its
users get it. Every round asks all sides in turn, so that load hits them alike, and each of them
goes from a frame in memory to score and map. The weights are random: they do not change the speed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch

from export.graph import build_graph, save_graph
from export.precision.build_variants import openvino_computes
from export.precision.int8 import ONNXRUNTIME_FORMS, OPENVINO, TENSORRT, quantise, read_tensors
from export.precision.nodes import lowerable_nodes, quantisable_nodes
from export.precision.ranges import find_ranges
from export.resampling import with_operators
from inspection.engine import Engine, GraphShape, engine_class
from inspection.engine.processor import processor_here
from inspection.errors import EngineError
from inspection.files import write_text
from inspection.preprocess import Preprocessing, preprocess
from linewarden.parser import Parser
from studies.pages.sections import with_section
from training.demo_parts import draw_part
from training.models.supersimplenet import Config, Model

TITLE = "## Beside anomalib"
SIZE = (256, 256)
BACKBONES = ("resnet18.tv_in1k", "wide_resnet50_2.tv_in1k")
WARM_UP = 3
SERVER = Path(__file__).resolve().parent / "peer/server.py"
REQUIREMENTS = SERVER.with_name("requirements.txt")
BOTH = "both stages of the fastest"
SECOND_LOOKS = 0.05
MIXED = f"the fastest, second look at {SECOND_LOOKS:.0%}"
QOPERATOR = next(form for form in ONNXRUNTIME_FORMS if form.name == "qoperator-uint8-conv")

Frame = npt.NDArray[np.uint8]  # (H, W, 3) BGR
Milliseconds = Callable[[], float]


def main() -> None:
    parser = Parser(
        prog="python -m studies.peer_speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--peer", required=True, type=Path, help="Python of the peer's venv")
    parser.add_argument("--work", required=True, type=Path, help="folder for models")
    parser.add_argument("--out", required=True, type=Path, help="Markdown file for the section")
    parser.add_argument("--backbones", nargs="+", default=BACKBONES, help="names in timm")
    parser.add_argument("--threads", type=int, default=2, help="threads of each side")
    parser.add_argument("--rounds", type=int, default=30, help="runs of each side")
    args = parser.parse_args()
    frame, _ = draw_part(1)
    medians = {
        backbone: measure(args, backbone, args.work / backbone, frame)
        for backbone in args.backbones
    }
    body = section(medians, args.threads, args.rounds)
    write_text(args.out, with_section(args.out.read_text(), TITLE, body))
    print(body)


def measure(
    args: argparse.Namespace, backbone: str, folder: Path, frame: Frame
) -> dict[str, float]:
    """Returns the median milliseconds of each side."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        peer = peer_sides(args.peer, backbone, folder, args.threads, frame)
        sides = dict(stack.enter_context(peer))
        engines = dict(own_engines(backbone, folder, args.threads))
        for name, engine in engines.items():
            stack.enter_context(closing(engine))
            sides[name] = partial(timed, [engine], frame)
        sides[BOTH] = partial(timed, [engines[name] for name in stages()], frame)
        times: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(WARM_UP + args.rounds):
            for name, run in sides.items():
                taken = run()
                if number >= WARM_UP:
                    times[name].append(taken)
    medians = {name: float(np.median(values)) for name, values in times.items()}
    early, both = medians[stages()[0]], medians[BOTH]
    return medians | {MIXED: (1 - SECOND_LOOKS) * early + SECOND_LOOKS * both}


def stages() -> tuple[str, str]:
    """Returns the sides of the fastest cascade: INT8, and the FP32 graph that decides."""
    return (
        f"INT8 for OpenVINO, openvino {openvino_computes()[-1]}",
        "FP32 for OpenVINO, openvino fp32",
    )


@contextmanager
def peer_sides(
    python: Path, backbone: str, folder: Path, threads: int, frame: Frame
) -> Iterator[dict[str, Milliseconds]]:
    """Starts the peer's process, and yields its sides.

    Raises:
        EngineError: the process ended; its own output says why.
    """
    np.save(folder / "frame.npy", frame)
    words = [str(python.absolute()), str(SERVER), backbone, "peer", str(threads), "frame.npy"]
    # In the folder: the peer caches compiled models where it runs.
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder
    ) as peer:

        def answer(request: str = "") -> str:
            if peer.stdin is None or peer.stdout is None:
                raise ValueError("both were asked for")
            if request:
                peer.stdin.write(f"{request}\n")
                peer.stdin.flush()
            line: str = peer.stdout.readline()
            if not line:
                raise EngineError(f"{python}: the peer ended: read its output above")
            return line

        names: list[str] = json.loads(answer())
        yield {name: lambda name=name: float(answer(name)) for name in names}  # type: ignore[misc]


def timed(engines: Sequence[Engine], frame: Frame) -> float:
    """Returns the milliseconds from the frame to score and map of every engine in turn."""
    started = time.monotonic_ns()
    image = preprocess(frame, preprocessing(frame))[np.newaxis]
    for engine in engines:
        engine.infer(image)
    return (time.monotonic_ns() - started) / 1e6


def preprocessing(frame: Frame) -> Preprocessing:
    """Returns the preprocessing of frames like this one."""
    height, width, channels = frame.shape
    return Preprocessing(
        frame_height=(height, height),
        frame_width=(width, width),
        channels=channels,
        height=SIZE[0],
        width=SIZE[1],
    )


def own_engines(backbone: str, folder: Path, threads: int) -> Iterator[tuple[str, Engine]]:
    """Yields every artefact for processors on its engines, BF16 where the processor has it."""
    for title, graph, engine in own_graphs(backbone):
        path = folder / f"{title.replace(' ', '-')}.onnx"
        save_graph(graph, path)
        for compute in openvino_computes() if engine == "openvino" else ("fp32",):
            factory = engine_class(engine, compute)
            name = f"{title}, {engine} {compute}"
            yield name, factory(path, GraphShape(*SIZE), threads=threads)


def own_graphs(backbone: str) -> Iterator[tuple[str, onnx.ModelProto, str]]:
    """Yields the graphs of a bundle with the engines that `linewarden build` tries them on."""
    torch.manual_seed(0)
    config = Config.model_validate({"backbone": {"name": backbone, "weights": "none"}})
    graph = build_graph(Model(config, SIZE).eval())
    nodes = quantisable_nodes(graph, lowerable_nodes(graph, has_backbone=True))
    images = [np.random.default_rng(0).integers(0, 256, (1, *SIZE, 3), dtype=np.uint8)]
    ranges = find_ranges(graph, read_tensors(graph, nodes), images, "min-max")
    resampling = with_operators(graph)
    yield "FP32", graph, "onnxruntime"
    yield "FP32 for OpenVINO", resampling, "openvino"
    yield "INT8 for ONNX Runtime", quantise(graph, nodes, ranges, QOPERATOR), "onnxruntime"
    yield "INT8 for TensorRT", quantise(graph, nodes, ranges, TENSORRT), "openvino"
    yield "INT8 for OpenVINO", quantise(resampling, nodes, ranges, OPENVINO), "openvino"


def section(medians: Mapping[str, Mapping[str, float]], threads: int, rounds: int) -> str:
    """Returns the section with one row for each side; ratios are to the peer's OpenVINO."""
    here, today = processor_here(), datetime.now(timezone.utc).date()
    backbones = list(medians)
    pins = [line for line in REQUIREMENTS.read_text().split() if "==" in line]
    head = [f"{backbone.partition('.')[0]} ms | ratio" for backbone in backbones]
    how = (
        f"`make peer-speed` ({', '.join(pins)}; {here.model}: {', '.join(here.flags)}; {threads} "
        f"threads; {rounds} interleaved rounds, {today}; SuperSimpleNet, {SIZE[0]}x{SIZE[1]}, from "
        "a 640x480 frame in memory to score and map, medians). The ratio is the time of the peer's "
        "OpenVINO as it comes over that of the row. Each backbone has a run of its own: compare "
        "within a column. `linewarden build` puts INT8 or BF16 before FP32: a part that is clearly "
        "good takes the time of its row, and any other that of FP32 as well. "
        f"`{BOTH}` is such another part; the last row is the mean where {SECOND_LOOKS:.0%} of the "
        "parts are looked at twice."
    )
    lines = [TITLE, "", *textwrap.wrap(how, 100), ""]
    lines += [f"| | {' | '.join(head)} |", f"|---{'|---' * 2 * len(head)}|"]
    for name in medians[backbones[0]]:
        cells = [
            f"{medians[b][name]:.1f} | {medians[b]['peer, OpenVINO'] / medians[b][name]:.2f}"
            for b in backbones
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
