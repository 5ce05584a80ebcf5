"""A remote engine that fails: parts fail at once, and a thread opens and tests it again."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edge.part.result import ONLY_VIEW
from edge.recipe.loaded import load_recipe
from edge.recipe.remote import ReconnectingEngine
from edge.station.config import LineConfig
from inspection.config.loading import load_config
from inspection.engine import Engine, Prediction
from inspection.errors import BundleError, ConfigError, EngineError, FrameError
from inspection.verdict import Cause, Verdict
from tests.doubles import golden_bundle
from tests.doubles.waiting import wait_for
from tests.tiny_bundle import SIZE

IMAGE = np.zeros((1, 2, 2, 3), np.uint8)


class Server:
    """Opens engines, unless it is away; counts what reaches them."""

    def __init__(self) -> None:
        self.away = ""
        self.error: Exception | None = None
        self.opened = self.closed = 0
        self.asked: list[int | None] = []
        self.may_open = threading.Event()
        self.may_open.set()

    def open(self) -> Engine:
        self.may_open.wait(10)
        if self.error is not None:
            raise self.error
        if self.away:
            raise EngineError(self.away)
        self.opened += 1
        return _Engine(self)


class _Engine:
    def __init__(self, server: Server) -> None:
        self._server = server

    def infer(self, batch: npt.NDArray[np.uint8], deadline_ns: int | None = None) -> Prediction:
        self._server.asked.append(deadline_ns)
        if self._server.away:
            raise EngineError(self._server.away)
        return Prediction(np.zeros(1, np.float32), np.zeros((1, 2, 2), np.float32))

    def close(self) -> None:
        self._server.closed += 1


def test_a_lost_engine_is_asked_once_and_opened_again() -> None:
    server = Server()
    with closing(ReconnectingEngine(server.open)) as engine:
        engine.infer(IMAGE, 7)
        server.may_open.clear()
        server.away = "the cable is out"
        for _ in range(3):
            with pytest.raises(EngineError, match="the cable is out"):
                engine.infer(IMAGE, 8)
        assert server.asked == [7, 8]  # the others were not asked
        assert server.closed == 1
        server.away = ""
        server.may_open.set()
        wait_for(lambda: server.opened == 2)
        wait_for(lambda: _is_back(engine))
    assert server.closed == server.opened == 2
    with pytest.raises(EngineError, match="the engine was closed"):
        engine.infer(IMAGE)
    engine.close()


def test_an_engine_that_fails_its_self_test_says_so_to_every_part() -> None:
    server = Server()
    with closing(ReconnectingEngine(server.open)) as engine:
        server.away = "the cable is out"
        with pytest.raises(EngineError, match="the cable is out"):
            engine.infer(IMAGE)
        server.away = "is another artefact"
        wait_for(lambda: "is another artefact" in _error(engine))
        assert server.opened == 1


@pytest.mark.parametrize(
    "error", [BundleError("golden/part.png is missing"), FrameError("torn"), KeyError("a defect")]
)
def test_an_engine_is_opened_again_whatever_its_opening_failed_by(error: Exception) -> None:
    """An error of the golden frames is none of the engine."""
    server = Server()
    with closing(ReconnectingEngine(server.open)) as engine:
        server.error = error
        server.away = "the cable is out"
        with pytest.raises(EngineError, match="the cable is out"):
            engine.infer(IMAGE)
        wait_for(lambda: str(error) in _error(engine))
        server.away, server.error = "", None
        wait_for(lambda: _is_back(engine))


def test_the_first_failure_reaches_the_caller() -> None:
    server = Server()
    server.away = "nobody there"
    with pytest.raises(EngineError, match="nobody there"):
        ReconnectingEngine(server.open)


def test_it_closes_while_it_waits_for_the_server() -> None:
    server = Server()
    engine = ReconnectingEngine(server.open)
    server.away = "gone"
    with pytest.raises(EngineError, match="gone"):
        engine.infer(IMAGE)
    engine.close()
    assert server.closed == 1


@pytest.mark.parametrize(
    "engine",
    ["{kind: triton}", "{server: {host: a}}", "{kind: triton, server: {host: a}, threads: 2}"],
)
def test_settings_that_do_not_go_together_are_refused(engine: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"belong together|is for an engine on this device"):
        line(tmp_path, engine)


def test_a_line_takes_its_model_from_the_server(tmp_path: Path) -> None:
    pytest.importorskip("tritonclient.grpc", reason="needs the packages of the extra triton")
    from tests.doubles.triton_double import TritonDouble

    bundle = golden_bundle.build(tmp_path / "bundle")
    with closing(TritonDouble(bundle.file("model.onnx"), "tiny_onnx")) as server:
        host, port = server.address.split(":")
        text = f"{{kind: triton, server: {{host: {host}, port: {port}}}}}"
        with closing(load_recipe(line(tmp_path, text), None)) as recipe:
            inspector = recipe.inspectors[ONLY_VIEW]
            frame = np.full((SIZE, SIZE), 20, np.uint8)
            assert inspector.inspect(frame).verdict is Verdict.PASS
            asked = server.asked
            server.sha256 = "0" * 64
            found = inspector.inspect(frame)
            assert (found.verdict, found.cause) == (Verdict.NO_VERDICT, Cause.ENGINE)
            assert "is another artefact" in found.message
            assert server.asked == asked + 1


def line(folder: Path, engine: str) -> LineConfig:
    path = folder / "line.yaml"
    path.write_text(
        f"bundle: bundle\ncamera: {{kind: replay, path: parts}}\nengine: {engine}\n"
        "outputs: [{kind: jsonlines, path: '-'}]\n"
    )
    return load_config(path, LineConfig)


def _error(engine: Engine) -> str:
    try:
        engine.infer(IMAGE)
    except EngineError as error:
        return str(error)
    return ""


def _is_back(engine: Engine) -> bool:
    return not _error(engine)
