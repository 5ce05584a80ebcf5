"""Triggers from a PLC and from a broker, over real connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pymodbus", reason="needs pip install 'linewarden[modbus]'")
pytest.importorskip("snap7", reason="needs pip install 'linewarden[s7]'")
pytest.importorskip("paho", reason="needs pip install 'linewarden[mqtt]'")

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from edge.peers import mqtt
from edge.peers.addresses import MqttBroker
from edge.peers.messages import MESSAGE_MAX_BYTES
from edge.peers.mqtt import Subscription
from edge.sim.logix import BOOL, INT, STRING, Logix, Tag
from edge.sim.s7 import S7Controller
from edge.trigger import (
    EtherNetIpTriggerConfig,
    ModbusTriggerConfig,
    MqttTriggerConfig,
    S7TriggerConfig,
)
from edge.trigger.base import FiredTrigger, Firing
from edge.trigger.mqtt import MqttTrigger
from edge.trigger.plc import PlcTrigger
from inspection.errors import LineError
from tests.doubles.line_peers import Broker, closing, free_port
from tests.doubles.register_plc import RegisterPlc
from tests.doubles.waiting import wait_for

GENEROUS_S = 10.0


class Plc(RegisterPlc):
    """A PLC with registers and coils, which the test writes."""

    def name(self, part_id: str) -> None:
        text = part_id.encode().ljust(16, b"\0")
        self.write(20, *(int.from_bytes(text[at : at + 2], "big") for at in range(0, 16, 2)))

    def set_coil(self, value: bool) -> None:
        assert not self.client.write_coil(3, value, device_id=1).isError()

    def trigger(self, **settings: Any) -> PlcTrigger[Any]:
        defaults: dict[str, Any] = {
            "kind": "modbus",
            "host": "127.0.0.1",
            "port": self.port,
            "address": 10,
            "part_id_address": 20,
            "part_id_registers": 8,
            "poll_ms": 1.0,
            "timeout_ms": 2000.0,
        }
        return ModbusTriggerConfig.model_validate(defaults | settings).driver(None)


@pytest.fixture
def plc() -> Iterator[Plc]:
    with closing(Plc(free_port())) as plc:
        yield plc


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with closing(Broker(free_port(), tmp_path)) as broker:
        broker.subscribe()
        yield broker


def part_id(firing: Firing | None) -> str | None:
    assert firing is not None
    return firing.part_id


def wait_long(trigger: FiredTrigger) -> None:
    for _ in range(100):
        trigger.wait(0.1)


def lose(trigger: FiredTrigger, match: str) -> None:
    with pytest.raises(LineError, match=match):
        wait_long(trigger)


def test_each_change_of_the_register_to_something_is_a_part(plc: Plc) -> None:
    plc.write(10, 7)
    trigger = plc.trigger()
    with closing(trigger):
        trigger.open()
        assert trigger.wait(0.02) is None  # the value before is not a trigger
        for value, name in ((8, "A-17"), (9, "A-18"), (1, "")):
            plc.name(name)
            plc.write(10, value)
            assert part_id(trigger.wait(GENEROUS_S)) == (name or None)
            plc.write(10, 0)
            assert trigger.wait(0.02) is None


def test_a_coil_that_rises_is_a_part(plc: Plc) -> None:
    trigger = plc.trigger(table="coil", address=3, part_id_address=None)
    with closing(trigger):
        trigger.open()
        for _ in range(2):
            plc.set_coil(True)
            assert part_id(trigger.wait(GENEROUS_S)) is None
            plc.set_coil(False)
            assert trigger.wait(0.02) is None


def test_a_plc_that_is_gone_or_refuses_is_named() -> None:
    plc = Plc(free_port())
    trigger = plc.trigger()
    trigger.open()
    plc.close()
    lose(trigger, r"modbus trigger 127.0.0.1:\d+: address 10: .*; check that the PLC runs")
    with pytest.raises(LineError, match="no connection; check the PLC"):
        trigger.open()
    with pytest.raises(LineError, match="the connection is not open"):
        trigger.wait(0.0)


def test_an_address_that_the_plc_does_not_have_is_named(plc: Plc) -> None:
    with pytest.raises(LineError, match=r"address 900: .*refuses with exception code 2"):
        plc.trigger(address=900).open()


def test_words_and_bits_of_an_s7_are_parts() -> None:
    data = bytearray(64)
    with closing(S7Controller(free_port(), {100: data})) as plc:

        def trigger(**settings: Any) -> PlcTrigger[Any]:
            values = {"kind": "s7", "host": "127.0.0.1", "port": plc.port, "db": 100, "byte": 32}
            values |= {"poll_ms": 1.0, "timeout_ms": 10_000.0}
            return S7TriggerConfig.model_validate(values | settings).driver(None)

        data[32:34] = (7).to_bytes(2, "big")
        with closing(trigger(part_id_byte=34, part_id_length=20)) as counter:
            counter.open()
            assert counter.wait(0.02) is None
            data[34:42] = b"\x14\x06 A-17\0"
            data[32:34] = (8).to_bytes(2, "big")
            assert part_id(counter.wait(GENEROUS_S)) == "A-17"
        with closing(trigger(bit=6)) as bit:
            bit.open()
            data[32] = 0b1000_0000
            assert bit.wait(0.02) is None
            data[32] = 0b0100_0000
            assert part_id(bit.wait(GENEROUS_S)) is None
        with pytest.raises(
            LineError, match=r"s7 trigger .*: DB100\.DBB60: the data block is too sh"
        ):
            trigger(part_id_byte=60, part_id_length=20).open()


@pytest.mark.parametrize("kind", [BOOL, INT])
def test_tags_of_a_logix_are_parts(kind: int) -> None:
    tags = {"Go": Tag(kind, [0]), "Part": Tag(STRING, text="A-17 "), "Words": Tag(INT, [0])}
    with closing(Logix(free_port(), tags)) as plc:

        def trigger(**settings: Any) -> PlcTrigger[Any]:
            values = {"kind": "ethernet_ip", "host": "127.0.0.1", "port": plc.port, "tag": "Go"}
            values |= {"part_id_tag": "Part", "poll_ms": 1.0, "timeout_ms": 10_000.0}
            return EtherNetIpTriggerConfig.model_validate(values | settings).driver(None)

        with closing(trigger()) as fired:
            fired.open()
            tags["Go"].values[0] = 1
            assert part_id(fired.wait(GENEROUS_S)) == "A-17"
            tags["Go"].values[0] = 0
            assert fired.wait(0.02) is None
        with pytest.raises(
            LineError, match=r"ethernet_ip trigger .*: tag Words: .* be STRING; che"
        ):
            trigger(part_id_tag="Words").open()
        with pytest.raises(LineError, match=r"tag Part: the tag is of another type.* DINT"):
            trigger(tag="Part", part_id_tag=None).open()


def mqtt_trigger(port: int, **settings: Any) -> MqttTrigger:
    defaults: dict[str, Any] = {
        "kind": "mqtt",
        "host": "127.0.0.1",
        "port": port,
        "topic": "line3/trigger",
        "client_id": "station",
        "timeout_ms": 3000.0,
    }
    return MqttTrigger(MqttTriggerConfig.model_validate(defaults | settings))


@pytest.fixture
def publish(broker: Broker) -> Iterator[Callable[..., None]]:
    client = Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()

    def send(text: str, *, retain: bool = False) -> None:
        client.publish("line3/trigger", text, qos=1, retain=retain).wait_for_publish(GENEROUS_S)

    yield send
    client.disconnect()
    client.loop_stop()


def test_each_message_is_a_part(broker: Broker, publish: Callable[..., None]) -> None:
    publish("of yesterday", retain=True)
    trigger = mqtt_trigger(broker.port)
    with closing(trigger):
        trigger.open()
        for text in ("A-17", "A-17", "", " A-18\n"):
            publish(text)
        found = [part_id(trigger.wait(GENEROUS_S)) for _ in range(4)]
        assert found == ["A-17", "A-17", None, "A-18"]
        assert trigger.wait(0.05) is None


def test_a_broker_that_dies_is_named_and_found_again(broker: Broker) -> None:
    trigger = mqtt_trigger(broker.port)
    with closing(trigger):
        trigger.open()
        broker.kill()
        lose(trigger, "lost: .*; check that the broker runs")
        with pytest.raises(LineError, match="cannot be opened"):
            trigger.open()
        broker.start()
        trigger.open()
        assert trigger.wait(0.05) is None


def test_a_long_message_is_a_part_with_a_short_name(
    broker: Broker, publish: Callable[..., None]
) -> None:
    trigger = mqtt_trigger(broker.port)
    with closing(trigger):
        trigger.open()
        publish("A" * 10_000_000)
        assert part_id(trigger.wait(3 * GENEROUS_S)) == "A" * 128


def test_a_receiver_sees_the_beginning_of_a_long_message(
    broker: Broker, publish: Callable[..., None]
) -> None:
    taken: list[bytes] = []
    config = MqttBroker(host="127.0.0.1", port=broker.port, client_id="a", timeout_ms=3000.0)
    topic = Subscription("line3/trigger", taken.append)
    with closing(mqtt.Broker("a", config, subscription=topic)) as connection:
        connection.open()
        publish("A" * 10_000_000)
        wait_for(lambda: taken, 3 * GENEROUS_S)
        assert taken == [b"A" * (MESSAGE_MAX_BYTES + 1)]
