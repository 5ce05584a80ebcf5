"""A remote engine that fails: parts fail at once, and a thread opens and tests it again."""

from __future__ import annotations

import threading
from contextlib import closing

import numpy as np
import numpy.typing as npt
import pytest

from edge.recipe.remote import ReconnectingEngine
from inspection.engine import Engine, Prediction
from inspection.errors import EngineError
from tests.doubles.waiting import wait_for

IMAGE = np.zeros((1, 2, 2, 3), np.uint8)


class Server:
    """Opens engines, unless it is away; counts what reaches them."""

    def __init__(self) -> None:
        self.away = ""
        self.opened = self.closed = 0
        self.asked: list[int | None] = []
        self.may_open = threading.Event()
        self.may_open.set()

    def open(self) -> Engine:
        self.may_open.wait(10)
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


def _error(engine: Engine) -> str:
    try:
        engine.infer(IMAGE)
    except EngineError as error:
        return str(error)
    return ""


def _is_back(engine: Engine) -> bool:
    return not _error(engine)
