"""Holds every engine of `ENGINES` to the contract, TensorRT over its double."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("onnx", reason="needs the package onnx")

from inspection.bundle import Bundle, open_bundle
from inspection.engine import ENGINES, Engine, GraphShape, TritonServer, engine_class
from inspection.errors import BundleError, EngineError
from tests.doubles import engine_cases, golden_bundle
from tests.doubles.installed import install
from tests.doubles.surface import RTX
from tests.tiny_bundle import SIZE

SHAPE = GraphShape(SIZE, SIZE)
# Engines sum in another order; the graph computes a mean of three values.
TOLERANCE = 1e-6


@dataclass
class Kind:
    """An engine of `ENGINES` with an artefact that it can run."""

    name: str
    bundle: Bundle
    artefact: Path
    server: TritonServer | None = None
    resources: ExitStack = field(default_factory=ExitStack)

    def open(self, shape: GraphShape = SHAPE, threads: int | None = 1) -> Engine:
        factory = engine_class(self.name, server=self.server)
        return factory(self.artefact, shape, threads=threads)


def of_onnx(name: str) -> Callable[[Bundle, pytest.MonkeyPatch], Kind]:
    def make(bundle: Bundle, patch: pytest.MonkeyPatch) -> Kind:
        pytest.importorskip(name)
        return Kind(name, bundle, bundle.file("model.onnx"))

    return make


def tensorrt(bundle: Bundle, patch: pytest.MonkeyPatch) -> Kind:
    install(patch)
    return Kind("tensorrt", bundle, bundle.file(engine_cases.build(bundle).name))


def tensorrt_rtx(bundle: Bundle, patch: pytest.MonkeyPatch) -> Kind:
    install(patch, RTX)
    name = engine_cases.take_into_use(bundle).name
    bundle = open_bundle(bundle.folder)
    return Kind("tensorrt-rtx", bundle, bundle.file(name))


def triton(bundle: Bundle, patch: pytest.MonkeyPatch) -> Kind:
    pytest.importorskip("tritonclient.grpc", reason="needs the packages of the extra triton")
    from tests.doubles.triton_double import TritonDouble

    artefact = bundle.file("model.onnx")
    served = TritonDouble(artefact, "part")
    server = TritonServer(address=served.address, model="part")
    kind = Kind("triton", bundle, artefact, server)
    kind.resources.callback(served.close)
    return kind


KINDS: dict[str, Callable[[Bundle, pytest.MonkeyPatch], Kind]] = {
    "onnxruntime": of_onnx("onnxruntime"),
    "openvino": of_onnx("openvino"),
    "tensorrt": tensorrt,
    "tensorrt-rtx": tensorrt_rtx,
    "triton": triton,
}


@pytest.fixture(params=sorted(ENGINES))
def kind(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Kind]:
    made = KINDS[request.param](golden_bundle.build(tmp_path / "bundle"), monkeypatch)
    with made.resources:
        yield made


@pytest.fixture
def engine(kind: Kind) -> Iterator[Engine]:
    with closing(kind.open()) as opened:
        yield opened


def image(seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (1, SIZE, SIZE, 3), dtype=np.uint8)


def brightness(batch: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Computes what the tiny graph computes: the mean of BGR over 255."""
    return np.asarray(batch.mean(axis=3, dtype=np.float64) / 255)


def test_scores_and_maps_are_those_of_the_graph(engine: Engine) -> None:
    for seed in range(3):
        got = engine.infer(image(seed))
        assert got.scores.dtype == got.maps.dtype == np.float32
        assert got.scores.shape == (1,)
        assert got.maps.shape == (1, SIZE, SIZE)
        expected = brightness(image(seed))
        np.testing.assert_allclose(got.maps, expected, atol=TOLERANCE)
        np.testing.assert_allclose(got.scores, [expected.max()], atol=TOLERANCE)


def test_the_same_frame_gives_the_same_bits(kind: Kind) -> None:
    results = []
    for _ in range(2):
        with closing(kind.open()) as engine:
            for seed in (0, 1, 0):
                got = engine.infer(image(seed))
                results.append((float(got.scores[0]), got.maps.tobytes()))
    assert results[0] == results[2] == results[3] == results[5]
    assert results[1] == results[4] != results[0]


def test_the_input_is_only_read_and_need_not_be_contiguous(engine: Engine) -> None:
    frame = image()
    expected = engine.infer(frame).maps
    frame.flags.writeable = False
    np.testing.assert_array_equal(engine.infer(frame).maps, expected)
    mirrored = np.ascontiguousarray(frame[:, :, ::-1])[:, :, ::-1]
    assert not mirrored.flags.c_contiguous
    np.testing.assert_array_equal(engine.infer(mirrored).maps, expected)


def test_the_caller_owns_the_prediction(engine: Engine) -> None:
    first = engine.infer(image(0))
    score, anomaly_map = float(first.scores[0]), first.maps.tobytes()
    second = engine.infer(np.zeros((1, SIZE, SIZE, 3), np.uint8))
    assert float(first.scores[0]) == score
    assert first.maps.tobytes() == anomaly_map
    first.maps[:] = 7.0
    assert not second.maps.any()


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((SIZE, SIZE, 3), np.uint8),
        np.zeros((2, SIZE, SIZE, 3), np.uint8),
        np.zeros((1, 3, SIZE, SIZE), np.uint8),
        np.zeros((1, SIZE, SIZE, 3), np.float32),
        np.zeros((1, SIZE, SIZE, 3), np.int8),
    ],
    ids=["no batch", "two", "planar", "float", "signed"],
)
def test_what_the_graph_does_not_take_is_refused(
    engine: Engine, wrong: npt.NDArray[np.uint8]
) -> None:
    with pytest.raises(EngineError, match=r"the input is .* takes uint8 \(1, 32, 32, 3\)"):
        engine.infer(wrong)
    assert np.isfinite(engine.infer(image()).scores).all()


def test_close_is_safe_twice_and_nothing_runs_afterwards(kind: Kind) -> None:
    engine = kind.open()
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="the engine is closed"):
        engine.infer(image())


def test_maps_are_still_there_when_the_engine_is_gone(kind: Kind) -> None:
    engine = kind.open()
    got = engine.infer(image())
    engine.close()
    del engine
    np.testing.assert_allclose(got.maps, brightness(image()), atol=TOLERANCE)


def test_two_engines_do_not_share_their_results(kind: Kind) -> None:
    with closing(kind.open()) as one, closing(kind.open(threads=None)) as other:
        first = one.infer(image(0))
        other.infer(image(1))
        np.testing.assert_allclose(first.maps, brightness(image(0)), atol=TOLERANCE)


def test_another_size_is_refused(kind: Kind) -> None:
    with pytest.raises(EngineError, match=r"its inputs and outputs are .* and the bundle says"):
        kind.open(GraphShape(64, 64))


def test_another_batch_is_refused(kind: Kind) -> None:
    with pytest.raises(EngineError, match=r"its inputs and outputs are .* and the bundle says"):
        kind.open(GraphShape(SIZE, SIZE, batch=2))


@pytest.mark.parametrize("content", [None, b"", b"no model", b"truncated"])
def test_an_artefact_that_is_none_is_refused_by_name(kind: Kind, content: bytes | None) -> None:
    whole = kind.artefact.read_bytes()
    if content is None:
        kind.artefact.unlink()
    else:
        kind.artefact.write_bytes(whole[: len(whole) // 2] if content == b"truncated" else content)
    with pytest.raises((EngineError, BundleError), match=kind.artefact.name):
        kind.open()


@pytest.mark.parametrize("name", ["tensorrt", "tensorrt-rtx"])
def test_an_engine_with_an_owner_refuses_other_threads(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = KINDS[name](golden_bundle.build(tmp_path / "bundle"), monkeypatch)
    with closing(kind.open()) as opened, ThreadPoolExecutor(1) as other:
        failed = other.submit(opened.infer, image()).exception()
    assert isinstance(failed, EngineError)
    assert "belongs to the thread that opened it" in str(failed)


def test_the_engines_here_are_all() -> None:
    assert set(KINDS) == set(ENGINES)
