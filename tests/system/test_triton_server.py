"""A real Triton server loads what `linewarden convert` writes, and runs parts for a line."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("tritonclient.grpc", reason="needs the packages of the extra triton")

from edge.recipe.remote import ReconnectingEngine
from inspection.bundle import Bundle, Chosen
from inspection.engine import Engine, GraphShape, Prediction, TritonServer
from inspection.engine.triton import TritonEngine
from inspection.errors import EngineError
from inspection.files import sha256_of
from inspection.golden import golden_frames, require_golden
from inspection.images import read_image
from inspection.opening import open_chosen, open_engine
from inspection.preprocess import preprocess
from inspection.verdict import decide
from linewarden.command_line import main
from tests.doubles import golden_bundle, triton_server
from tests.doubles.certificates import certificate
from tests.doubles.line_peers import free_port
from tests.doubles.waiting import wait_for
from tests.tiny_bundle import SIZE

pytestmark = pytest.mark.slow
SHAPE = GraphShape(SIZE, SIZE)
IMAGE = np.full((1, SIZE, SIZE, 3), 100, np.uint8)
MODEL = "tiny_onnx"
WARM_UPS = 3  # of config.pbtxt; Triton counts them


class Served(NamedTuple):
    """A running server, the bundle it serves, and the folder that `convert` wrote."""

    server: triton_server.TritonServer
    bundle: Bundle
    folder: Path


def converted(bundle: Bundle, out: Path, *options: str) -> Path:
    assert main(["convert", str(bundle.folder), str(out), "--to", "triton", *options]) == 0
    return out / "models"


def renamed(repository: Path, name: str) -> Path:
    """Copies the model within its repository, under another name."""
    target = repository / name
    shutil.copytree(repository / MODEL, target)
    config = target / "config.pbtxt"
    config.write_text(config.read_text().replace(f'name: "{MODEL}"', f'name: "{name}"'))
    return target


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    triton_server.require_server()
    folder = tmp_path_factory.mktemp("triton")
    bundle = golden_bundle.build(folder / "bundle")
    repository = converted(bundle, folder / "served", "--backend", "python")
    half = renamed(repository, "half_copied") / "1/model.onnx"
    half.write_bytes(half.read_bytes()[:100])
    foreign = renamed(repository, "without_hash")
    (foreign / "1/model.py").write_text("class TritonPythonModel:\n    pass\n")
    config = foreign / "config.pbtxt"
    config.write_text(re.sub(r'parameters \{ key: "artefact_sha256".*', "", config.read_text()))
    config.write_text(config.read_text().partition("# The model is ready")[0])
    native = converted(bundle, folder / "native") / MODEL
    shutil.copytree(native, repository / "native")
    config = repository / "native/config.pbtxt"
    config.write_text(config.read_text().replace(f'name: "{MODEL}"', 'name: "native"'))
    server = triton_server.TritonServer(folder, repository)
    server.start()
    yield Served(server, bundle, folder / "served")
    server.kill()


def at(server: triton_server.TritonServer, **changes: Any) -> TritonServer:
    return TritonServer(**{"address": server.address, "model": MODEL, **changes})


def engine_at(served: Served, artefact: str = "model.onnx", **changes: Any) -> TritonEngine:
    return TritonEngine(served.bundle.file(artefact), SHAPE, server=at(served.server, **changes))


def images() -> Iterator[npt.NDArray[np.uint8]]:
    """Yields the test images of a data set as the model takes them, or drawn ones without it."""
    found = sorted(
        Path(os.environ.get("LINEWARDEN_SHARED", "-")).glob("data/hazelnut_toy/test/*/*")
    )
    for path in found:
        small = cv2.resize(read_image(path), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        yield np.ascontiguousarray(small if small.ndim == 3 else np.dstack([small] * 3))
    random = np.random.default_rng(0)
    for _ in range(5):
        yield random.integers(0, 256, (SIZE, SIZE, 3), np.uint8)


def test_grpc_and_shared_memory_give_the_local_results(served: Served) -> None:
    """With NVIDIA's own client, which knows nothing of ours."""
    client_module = pytest.importorskip("tritonclient.grpc")
    shm = pytest.importorskip("tritonclient.utils.shared_memory")
    record = json.loads((served.folder / "linewarden.json").read_text())["models"][MODEL]
    limits = served.bundle.calibration("default", "model.onnx").thresholds
    assert record["recipes"]["default"]["reject"] == limits.reject
    golden = [frame.image[0] for frame in golden_frames(served.bundle)]
    region = shm.create_shared_memory_region("frames", "/linewarden-test", IMAGE.nbytes)
    flips = compared = 0
    with (
        closing(client_module.InferenceServerClient(served.server.address)) as client,
        closing(open_engine(served.bundle)) as local,
    ):
        client.register_system_shared_memory("frames", "/linewarden-test", IMAGE.nbytes)
        try:
            for image in [*golden, *images()]:
                expected = local.infer(image[np.newaxis])
                verdict = decide(float(expected.scores[0]), expected.maps[0], limits).verdict
                for is_shared in (False, True):
                    given = client_module.InferInput("input", IMAGE.shape, "UINT8")
                    if is_shared:
                        shm.set_shared_memory_region(region, [image[np.newaxis]])
                        given.set_shared_memory("frames", IMAGE.nbytes)
                    else:
                        given.set_data_from_numpy(image[np.newaxis])
                    got = client.infer(MODEL, [given], model_version="1")
                    scores, maps = got.as_numpy("pred_score"), got.as_numpy("anomaly_map")
                    np.testing.assert_array_equal(scores, expected.scores)
                    np.testing.assert_array_equal(maps, expected.maps)
                    flips += decide(float(scores[0]), maps[0], limits).verdict != verdict
                    compared += 1
        finally:
            client.unregister_system_shared_memory("frames")
            shm.destroy_shared_memory_region(region)
    assert (flips, compared) == (0, 2 * len([*golden, *images()]))


def test_the_server_reads_the_other_configuration_and_lacks_only_the_backend(
    served: Served,
) -> None:
    assert re.search(
        r"native.*unable to find backend library for backend 'onnxruntime'", served.server.log
    )
    with pytest.raises(EngineError, match="model 'native' version 1"):
        engine_at(served, model="native")


def test_the_engine_passes_the_self_test_and_a_calibration_is_bound_to_the_artefact(
    served: Served,
) -> None:
    chosen = Chosen("triton", "model.onnx")
    with closing(open_chosen(served.bundle, chosen, server=at(served.server))) as engine:
        require_golden(served.bundle, "model.onnx", engine)
        frame = np.full((SIZE, SIZE), 20, np.uint8)
        image = preprocess(frame, served.bundle.manifest.preprocessing)[np.newaxis]
        with closing(open_engine(served.bundle)) as local:
            assert engine.infer(image).scores == local.infer(image).scores


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "half_copied"}, r"half_copied.*(not ready|not found|not loaded|no available)"),
        ({"model": "without_hash"}, "does not say which artefact it is"),
        ({"model": "nowhere"}, "'nowhere' version 1"),
        ({"version": 2}, "version 2"),
        ({"is_encrypted": True}, r"UNAVAILABLE\); check that the server runs, .* TLS or neither"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_wrong_server_is_refused(served: Served, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        engine_at(served, **changes)


def test_the_port_of_http_and_a_closed_one_are_refused(served: Served) -> None:
    for port in (served.server.http_port, free_port()):
        with pytest.raises(EngineError, match=r"\(UNAVAILABLE\).* 8000 is HTTP"):
            engine_at(served, address=f"127.0.0.1:{port}")


def test_another_model_under_the_same_name_is_refused(served: Served) -> None:
    with pytest.raises(EngineError, match=r"is another artefact \(SHA-256 .*, and grey-40\.png of"):
        engine_at(served, artefact="golden/grey-40.png")


def test_a_slow_server_costs_what_is_left_of_the_deadline(served: Served) -> None:
    with closing(engine_at(served)) as engine:
        engine.infer(IMAGE)
        served.server.pause()
        try:
            started = time.monotonic_ns()
            with pytest.raises(EngineError, match=r"no answer within [12]\d\d ms"):
                engine.infer(IMAGE, started + 250_000_000)
            with pytest.raises(EngineError, match="not asked: the deadline of the part has passed"):
                engine.infer(IMAGE, started)
        finally:
            served.server.go_on()
        assert engine.infer(IMAGE).maps.shape == (1, SIZE, SIZE)


def test_tls_checks_the_name_of_the_server(served: Served, tmp_path: Path) -> None:
    pem, key = certificate(tmp_path, "server")
    stranger, _ = certificate(tmp_path, "stranger")
    server = triton_server.TritonServer(
        tmp_path,
        served.folder / "models",
        "--grpc-use-ssl=true",
        f"--grpc-server-cert={pem}",
        f"--grpc-server-key={key}",
    )
    server.start()
    try:
        secure = {"is_encrypted": True, "authorities": pem.read_bytes()}
        by_address = at(server, **secure)
        with closing(TritonEngine(served.bundle.file("model.onnx"), SHAPE, server=by_address)):
            pass
        wrong = [
            at(server, **secure, address=f"localhost:{server.grpc_port}"),
            at(server, is_encrypted=True, authorities=stranger.read_bytes()),
            at(server),
        ]
        for access in wrong:
            with pytest.raises(EngineError, match="with a certificate of this host"):
                TritonEngine(served.bundle.file("model.onnx"), SHAPE, server=access)
    finally:
        server.kill()


def test_a_restart_with_another_model_judges_no_part(served: Served, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    shutil.copytree(served.folder / "models" / MODEL, repository / MODEL)
    server = triton_server.TritonServer(tmp_path, repository)
    server.start()
    try:
        chosen = Chosen("triton", "model.onnx")
        access = at(server, timeout_ms=2000.0)

        def opened() -> Engine:
            engine = open_chosen(served.bundle, chosen, server=access)
            require_golden(served.bundle, "model.onnx", engine)
            return engine

        with (
            closing(TritonEngine(served.bundle.file("model.onnx"), SHAPE, server=access)) as idle,
            closing(ReconnectingEngine(opened)) as engine,
        ):
            first = engine.infer(IMAGE)
            self_test = 1 + len(golden_bundle.BRIGHTNESS)
            assert server.inferences(MODEL) == WARM_UPS + self_test + 1  # each part once
            server.kill()
            with pytest.raises(EngineError, match="UNAVAILABLE"):
                engine.infer(IMAGE)
            config = repository / MODEL / "config.pbtxt"
            right = config.read_text()
            other = repository / MODEL / "1/model.onnx"
            content = other.read_bytes()
            other.write_bytes(content + b"\xc0\x3e\x01")  # a field 1000, which nobody reads
            config.write_text(right.replace(served.bundle.sha256("model.onnx"), sha256_of(other)))
            server.start()
            wait_for(lambda: "is another artefact" in error_of(engine), 30)
            assert server.inferences(MODEL) == WARM_UPS
            # A connection that nobody used meanwhile comes back by itself, to the other model.
            with pytest.raises(EngineError, match="is another artefact"):
                idle.infer(IMAGE)
            server.kill()
            other.write_bytes(content)
            config.write_text(right)
            server.start()
            wait_for(lambda: not error_of(engine), 30)
            np.testing.assert_array_equal(engine.infer(IMAGE).maps, first.maps)
    finally:
        server.kill()


def error_of(engine: Engine) -> str:
    """Returns the error of a part, empty when it was judged."""
    try:
        got: Prediction = engine.infer(IMAGE)
    except EngineError as error:
        return str(error)
    assert got.scores.shape == (1,)
    return ""
