"""Recipes that a PLC or an MQTT client asks for, over real connections."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

pytest.importorskip("pymodbus", reason="needs pip install 'linewarden[modbus]'")
pytest.importorskip("paho", reason="needs pip install 'linewarden[mqtt]'")

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from edge.recipe.changeover import RecipeStatus
from edge.recipe.request import recipe_requests_from_config
from edge.recipe.request.base import Answer, Request
from edge.recipe.request.config import RecipeRequestConfig
from edge.recipe.request.mqtt import request_from_payload
from edge.recipe.request.thread import RecipeRequestThread
from edge.sim.logix import DINT, Logix, Tag
from edge.sim.s7 import S7Controller
from inspection.errors import LineError
from tests.doubles.line_peers import Broker, closing, free_port
from tests.doubles.register_plc import RegisterPlc
from tests.doubles.waiting import wait_for

REQUEST, STATUS = 4, 10
IDLE, LOADING, FAILED = 0, 1, 2
GENEROUS_S = 15.0


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


@contextmanager
def followed(kind: str, port: int, **settings: Any) -> Iterator[Recipes]:
    recipes = Recipes()
    values = {"kind": kind, "host": "127.0.0.1", "port": port, "poll_ms": 10, "timeout_ms": 2000}
    config: RecipeRequestConfig = TypeAdapter(RecipeRequestConfig).validate_python(
        values | settings
    )
    with recipe_requests_from_config(config, recipes):
        yield recipes


def followed_plc(port: int) -> Any:
    return followed("modbus", port, request_address=REQUEST, status_address=STATUS)


@pytest.fixture
def plc() -> Iterator[Plc]:
    with closing(Plc(free_port())) as plc:
        yield plc


def test_a_request_is_answered_when_its_recipe_is_in_force(plc: Plc) -> None:
    with followed_plc(plc.port) as recipes:
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


def test_an_s7_requests_a_recipe() -> None:
    data = bytearray(16)
    with (
        closing(S7Controller(free_port(), {100: data})) as plc,
        followed("s7", plc.port, db=100, request_byte=0, status_byte=4) as recipes,
    ):
        wait_for(lambda: data[4:10] == bytes([0, 1, 0, IDLE, 0, 0]), GENEROUS_S)
        data[1] = 2
        wait_for(lambda: data[4:10] == bytes([0, 1, 0, LOADING, 0, 2]), GENEROUS_S)
        recipes.status = RecipeStatus(2)
        wait_for(lambda: data[4:10] == bytes([0, 2, 0, IDLE, 0, 2]), GENEROUS_S)
    assert recipes.requests == [2]


def test_a_logix_requests_a_recipe() -> None:
    tags = {"Wanted": Tag(DINT, [0]), "Recipe": Tag(DINT, [0] * 3)}
    settings = {"request_tag": "Wanted", "status_tag": "Recipe"}
    with (
        closing(Logix(free_port(), tags)) as plc,
        followed("ethernet_ip", plc.port, **settings) as recipes,
    ):
        wait_for(lambda: tags["Recipe"].values == [1, IDLE, 0], GENEROUS_S)
        tags["Wanted"].values[0] = 2
        wait_for(lambda: tags["Recipe"].values == [1, LOADING, 2], GENEROUS_S)
        recipes.status = RecipeStatus(2)
        wait_for(lambda: tags["Recipe"].values == [2, IDLE, 2], GENEROUS_S)
    assert recipes.requests == [2]


def test_what_stands_there_at_the_start_is_asked_for_once(plc: Plc) -> None:
    plc.ask(2)
    with followed_plc(plc.port) as recipes:
        wait_for(lambda: plc.answer == (1, LOADING, 2))
    plc.ask(1)
    with followed_plc(plc.port) as recipes:
        wait_for(lambda: plc.answer == (1, IDLE, 1))
    assert recipes.requests == []


def test_a_number_that_is_not_known_fails(plc: Plc, caplog: pytest.LogCaptureFixture) -> None:
    with followed_plc(plc.port) as recipes:
        plc.ask(7)
        wait_for(lambda: plc.answer == (1, FAILED, 7))
        assert "no recipe 7: known are 1, 2" in caplog.text
        plc.ask(2)
        wait_for(lambda: plc.answer == (1, LOADING, 2))
    assert recipes.requests == [2]


def test_a_request_during_a_load_waits(plc: Plc) -> None:
    with followed_plc(plc.port) as recipes:
        plc.ask(2)
        wait_for(lambda: plc.answer == (1, LOADING, 2))
        plc.ask(1)
        assert plc.answer == (1, LOADING, 2)
        recipes.status = RecipeStatus(2)
        wait_for(lambda: plc.answer == (2, LOADING, 1))
    assert recipes.requests == [2, 1]


def test_a_plc_that_goes_and_comes_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()

    def told() -> list[str]:
        ours = [record for record in caplog.records if record.name.startswith("edge.")]
        return ["again" if "again" in record.getMessage() else "lost" for record in ours]

    with followed_plc(port):
        for times in (1, 2):
            wait_for(lambda: told()[-1:] == ["lost"], GENEROUS_S)
            with closing(Plc(port)) as plc:
                wait_for(lambda: told().count("again") == times, GENEROUS_S)  # noqa: B023
                assert plc.answer == (1, IDLE, 0)
        wait_for(lambda: told()[-1] == "lost", GENEROUS_S)
    assert told() == ["lost", "again", "lost", "again", "lost"]


class Asker:
    """An MQTT client that asks for recipes and reads the answers."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()

    def ask(self, payload: object, *, retain: bool = False) -> None:
        text = payload if isinstance(payload, bytes) else json.dumps(payload)
        sent = self._client.publish("line3/recipe/set", text, qos=1, retain=retain)
        sent.wait_for_publish(GENEROUS_S)

    def told(self, **wanted: object) -> bool:
        """Whether the newest answer says so."""
        answer = json.loads(self._broker.topics.get("line3/recipe/state", "{}"))
        return all(answer.get(name) == value for name, value in wanted.items())

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with closing(Broker(free_port(), tmp_path)) as broker:
        broker.subscribe()
        yield broker


@pytest.fixture
def asker(broker: Broker) -> Iterator[Asker]:
    with closing(Asker(broker)) as asker:
        yield asker


def followed_broker(broker: Broker) -> Any:
    return followed("mqtt", broker.port, topic="line3", client_id="station-recipes")


def test_a_message_is_answered_when_its_recipe_is_in_force(broker: Broker, asker: Asker) -> None:
    with followed_broker(broker) as recipes:
        wait_for(lambda: asker.told(active=1, state="idle", request=None))
        asker.ask({"number": 2, "id": "order 7"})
        wait_for(lambda: asker.told(active=1, state="loading", request=2, id="order 7"))
        recipes.status = RecipeStatus(2)
        wait_for(lambda: asker.told(active=2, state="idle", request=2, id="order 7"))
        asker.ask(1)
        wait_for(lambda: asker.told(active=2, state="loading", request=1, id=None))
        recipes.status = RecipeStatus(2, failure="damaged")
        wait_for(lambda: asker.told(active=2, state="failed", request=1, failure="damaged"))
        asker.ask(1)
        wait_for(lambda: asker.told(state="loading"))
    assert recipes.requests == [2, 1, 1]
    wait_for(lambda: asker.told(state="offline"))


def test_the_answer_is_retained(broker: Broker, asker: Asker) -> None:
    with followed_broker(broker):
        wait_for(lambda: asker.told(active=1))
        broker.topics.clear()
        broker.subscribe()
        wait_for(lambda: asker.told(active=1, state="idle"))


def test_an_old_message_changes_nothing(broker: Broker, asker: Asker) -> None:
    asker.ask(2, retain=True)
    with followed_broker(broker) as recipes:
        wait_for(lambda: asker.told(active=1, state="idle", request=None))
        asker.ask(0)  # comes behind the retained one
        wait_for(lambda: asker.told(request=0))
    asker.ask(2)  # while nobody is there
    with followed_broker(broker) as recipes_again:
        wait_for(lambda: asker.told(state="idle", request=None))
        asker.ask(0)
        wait_for(lambda: asker.told(request=0))
    assert recipes.requests == recipes_again.requests == []


def test_the_last_of_several_messages_counts(broker: Broker, asker: Asker) -> None:
    with followed_broker(broker) as recipes:
        wait_for(lambda: asker.told(active=1))
        asker.ask(2)
        wait_for(lambda: asker.told(state="loading"))
        for number in (2, 7, 1):
            asker.ask(number)
        recipes.status = RecipeStatus(2)
        wait_for(lambda: asker.told(state="loading", request=1))
    assert recipes.requests == [2, 1]


def test_what_is_no_number_or_not_known_is_answered(
    broker: Broker, asker: Asker, caplog: pytest.LogCaptureFixture
) -> None:
    with followed_broker(broker) as recipes:
        wait_for(lambda: asker.told(active=1))
        asker.ask("two")
        wait_for(lambda: asker.told(state="failed", request=0))
        assert "no request: b'\"two\"': 'number': Input should be a valid integer;" in caplog.text
        asker.ask({"number": 7, "id": "a"})
        wait_for(lambda: asker.told(failure="no recipe 7: known are 1, 2", id="a"))
    assert recipes.requests == []


def test_a_broker_that_goes_and_comes_is_told_of_once(
    broker: Broker, asker: Asker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "edge.recipe.request")
    with followed_broker(broker) as recipes:
        wait_for(lambda: asker.told(active=1))
        broker.kill()
        wait_for(lambda: "no recipe can be requested" in caplog.text)
        broker.start()
        wait_for(lambda: "recipes can be requested again" in caplog.text, GENEROUS_S)
        with closing(Asker(broker)) as again:
            again.ask(2)
            wait_for(lambda: recipes.requests == [2])
    assert caplog.text.count("no recipe can be requested") == 1


def test_a_broker_that_hangs_at_the_end_is_told(
    broker: Broker, asker: Asker, caplog: pytest.LogCaptureFixture
) -> None:
    with followed_broker(broker):
        wait_for(lambda: asker.told(active=1))
        broker.hang()
    broker.wake()
    assert "did not take the state of the recipes: no confirmation within" in caplog.text
    assert not [one for one in threading.enumerate() if one.name == "recipe request"]


@pytest.mark.parametrize(
    ("payload", "number", "request_id"),
    [
        (b"2", 2, None),
        (b' {"number": 2}\n', 2, None),
        (b'{"number": 2, "id": "a"}', 2, "a"),
        (b'{"number": 2, "id": 7}', 2, "7"),
        (b'{"number": 2, "id": null}', 2, None),
        (b"0", 0, None),
    ],
)
def test_payloads(payload: bytes, number: int, request_id: str | None) -> None:
    assert request_from_payload(payload) == Request(number, request_id)


@pytest.mark.parametrize(
    "payload",
    [
        *(b"", b"two", b"2.0", b"-1", b"true", b"null", b"[2]", b'"2"', b"65536", b"9" * 4000),
        *(b'{"recipe": 2}', b'{"number": true}', b'{"number": 2, "id": true}', b"NaN"),
        *(b'{"number": 2, "ID": "a"}', b'{"number": 2, "id": "%s"}' % (b"a" * 129)),
        *(b"[" * 4000, b"[" * 99_999, b" " * 4096 + b"2", b"2 2", b"\xff"),
    ],
    ids=lambda payload: payload[:40],
)
def test_payloads_that_are_none(payload: bytes) -> None:
    request = request_from_payload(payload)
    assert (request.number, request.problem[:11]) == (0, "no request:")
    assert len(request.problem) < 800


def test_a_wrong_request_keeps_the_id_by_which_its_peer_finds_the_answer() -> None:
    assert request_from_payload(b'{"number": true, "id": "order 7"}').request_id == "order 7"
    assert request_from_payload(b'{"number": -1, "id": 7}').request_id == "7"
    assert request_from_payload(b'{"number": 1, "id": [7]}').request_id is None


def test_a_request_among_the_answers_is_refused() -> None:
    with pytest.raises(ValidationError, match="give each holding registers of its own"):
        TypeAdapter(RecipeRequestConfig).validate_python(
            {"kind": "modbus", "host": "plc", "request_address": 11, "status_address": 10}
        )


class Surprising:
    """A source whose library raises an error of its own now and then."""

    def __init__(self, *errors: Exception | None) -> None:
        self.errors = list(errors)
        self.opened = 0
        self.answers: list[Answer] = []

    def open(self) -> None:
        self.opened += 1
        self._fail()

    def take(self) -> Request | None:
        self._fail()
        return None

    def answer(self, answer: Answer) -> None:
        self.answers.append(answer)

    def close(self) -> None:
        self.errors.clear()

    def _fail(self) -> None:
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error


@pytest.mark.parametrize(
    "errors",
    [
        pytest.param((KeyError("in open"), None, None), id="at the start"),
        pytest.param((None, None, KeyError("later"), KeyError("and in open")), id="later"),
        pytest.param((LineError("away"), LineError("still away")), id="a peer that is away"),
    ],
)
def test_whatever_a_source_fails_by_it_is_opened_again(
    errors: tuple[Exception | None, ...], caplog: pytest.LogCaptureFixture
) -> None:
    source = Surprising(*errors)
    with RecipeRequestThread("peer", source, Recipes(), poll_ms=1.0):
        wait_for(lambda: source.errors == [] and len(source.answers) > 3)
    assert source.opened == 1 + sum(error is not None for error in errors)
    is_defect = any(isinstance(error, KeyError) for error in errors)
    assert [bool(one.exc_info) for one in caplog.records if "no recipe" in one.message] == [
        is_defect
    ]
