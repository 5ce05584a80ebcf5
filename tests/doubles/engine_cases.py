"""Requirements on TensorRT: the same bodies for the double and for a real device."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import numpy.typing as npt

from export.tensorrt.build import BuildOptions
from export.tensorrt.engine import Built, build_engine, verify_portable
from export.tensorrt.portable import build_portable
from inspection.bundle import Bundle, open_bundle
from inspection.engine import GraphShape
from inspection.engine.cuda import open_cuda
from inspection.engine.rtx_cards import RTX_CARDS
from inspection.engine.sidecar import LAYERS, Memory, read_sidecar
from inspection.engine.tensorrt import RunningPlan
from inspection.engine.tensorrt_bindings import load_bindings
from inspection.opening import open_engine

TOLERANCE = 1e-4


class Quiet:
    """Ignores the progress."""

    def __init__(self) -> None:
        self.phases: list[str] = []

    def start(self, phase: str, steps: int) -> None:
        self.phases.append(phase)

    def step(self, phase: str) -> bool:
        return True

    def finish(self, phase: str) -> None:
        self.phases.remove(phase)


def take_into_use(bundle: Bundle) -> Built:
    """Builds an engine of the reference artefact for RTX cards, and verifies it here."""
    plan = build_portable(
        bundle, "model.onnx", tuple(RTX_CARDS), options=BuildOptions(), progress=Quiet()
    )
    return verify_portable(open_bundle(bundle.folder), plan.name, progress=Quiet())


def build(bundle: Bundle, options: BuildOptions | None = None) -> Built:
    """Builds an engine of the reference artefact."""
    progress = Quiet()
    built = build_engine(bundle, options=options or BuildOptions(), progress=progress)
    assert progress.phases == []
    return built


def images(bundle: Bundle, count: int = 5) -> list[npt.NDArray[np.uint8]]:
    """Returns random prepared frames (1, H, W, 3)."""
    graph = bundle.manifest.graph
    rng = np.random.default_rng(0)
    shape = (1, graph.height, graph.width, 3)
    return [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(count)]


def an_engine_is_built_runs_and_closes(bundle: Bundle) -> Built:
    """Takes the whole path, and compares the results with those of ONNX Runtime."""
    built = build(bundle)
    plan = bundle.file(built.name)
    assert read_sidecar(plan) == built.sidecar
    assert plan.with_name(LAYERS).stat().st_size > 0
    assert built.sidecar.gate.verdict_flips == 0
    with (
        closing(open_engine(bundle)) as expected,
        closing(open_engine(bundle, engine="tensorrt", artefact=built.name)) as engine,
    ):
        for image in images(bundle):
            want, got = expected.infer(image), engine.infer(image)
            np.testing.assert_allclose(got.scores, want.scores, atol=TOLERANCE)
            np.testing.assert_allclose(got.maps, want.maps, atol=TOLERANCE)
        engine.close()
        engine.close()
    return built


def every_way_to_run_gives_the_same(bundle: Bundle, rounds: int = 20) -> None:
    """Compares bit for bit: copied or mapped memory, with a graph and without."""
    built = build(bundle)
    plan = bundle.file(built.name).read_bytes()
    shape = GraphShape(bundle.manifest.graph.height, bundle.manifest.graph.width)
    trt, cuda = load_bindings(), open_cuda()
    frames = images(bundle, rounds)
    results = []
    ways: list[tuple[Memory, bool]] = [
        (memory, graph) for memory in ("copied", "mapped") for graph in (True, False)
    ]
    for memory, graph in ways:
        with closing(RunningPlan(trt, cuda, plan, shape, memory=memory, graph=graph)) as running:
            results.append([running.infer(frame) for frame in frames])
    cuda.release()
    for other in results[1:]:
        for first, second in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(first.scores, second.scores)
            np.testing.assert_array_equal(first.maps, second.maps)
