"""Recipes that a PLC asks for, over real connections to registers that a test holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

pytest.importorskip("pymodbus", reason="needs pip install 'linewarden[modbus]'")


from edge.changeover import RecipeStatus
from edge.errors import LineError
from edge.recipe_request import ModbusRecipeRequest
from tests.doubles.line_peers import closing, free_port
from tests.doubles.register_plc import RegisterPlc
from tests.doubles.waiting import wait_for

REQUEST, STATUS = 4, 10
IDLE, LOADING, FAILED = 0, 1, 2


class Plc(RegisterPlc):
    """Holds registers; the test writes and reads them."""

    def ask(self, number: int) -> None:
        assert not self.client.write_register(REQUEST, number, device_id=1).isError()

    @property
    def answer(self) -> tuple[int, ...]:
        """Recipe in force, state, and the request that this answers."""
        read = self.client.read_holding_registers(STATUS, count=3, device_id=1)
        return tuple(read.registers)


class Recipes:
    """Stands for a changeover: the test says what comes of a request."""

    def __init__(self) -> None:
        self.status = RecipeStatus(1)
        self.requests: list[int] = []

    def request(self, number: int) -> None:
        if number > 2:
            raise LineError(f"no recipe {number}: known are 1, 2")
        self.requests.append(number)
        self.status = RecipeStatus(self.status.active, number)


@pytest.fixture
def plc() -> Iterator[Plc]:
    with closing(Plc(free_port())) as plc:
        yield plc


@contextmanager
def followed(port: int) -> Iterator[Recipes]:
    recipes = Recipes()
    with ModbusRecipeRequest(
        changeover=recipes,  # type: ignore[arg-type]
        host="127.0.0.1",
        port=port,
        device_id=1,
        request_address=REQUEST,
        status_address=STATUS,
        poll_ms=10,
        timeout_ms=2000,
    ):
        yield recipes


def test_a_request_is_answered_when_its_recipe_is_in_force(plc: Plc) -> None:
    with followed(plc.port) as recipes:
        wait_for(lambda: plc.answer == (1, IDLE, 0))
        plc.ask(2)
        wait_for(lambda: plc.answer == (1, LOADING, 2))
        recipes.status = RecipeStatus(2)
        wait_for(lambda: plc.answer == (2, IDLE, 2))
        plc.ask(1)
        wait_for(lambda: plc.answer == (2, LOADING, 1))
        recipes.status = RecipeStatus(2, failure="damaged")
        wait_for(lambda: plc.answer == (2, FAILED, 1))
        plc.ask(0)
        wait_for(lambda: plc.answer[2] == 0)
        plc.ask(1)
        wait_for(lambda: plc.answer == (2, LOADING, 1))
    assert recipes.requests == [2, 1, 1]


def test_what_stands_there_at_the_start_is_asked_for_once(plc: Plc) -> None:
    plc.ask(2)
    with followed(plc.port) as recipes:
        wait_for(lambda: plc.answer == (1, LOADING, 2))
    plc.ask(1)
    with followed(plc.port) as recipes:
        wait_for(lambda: plc.answer == (1, IDLE, 1))
    assert recipes.requests == []


def test_a_number_that_is_not_known_fails(plc: Plc, caplog: pytest.LogCaptureFixture) -> None:
    with followed(plc.port) as recipes:
        plc.ask(7)
        wait_for(lambda: plc.answer == (1, FAILED, 7))
        assert "no recipe 7: known are 1, 2" in caplog.text
        plc.ask(2)
        wait_for(lambda: plc.answer == (1, LOADING, 2))
    assert recipes.requests == [2]


def test_a_plc_that_comes_later_is_connected() -> None:
    port = free_port()
    with followed(port), closing(Plc(port)) as plc:
        wait_for(lambda: plc.answer == (1, IDLE, 0))
