"""Modbus TCP as server: verdicts that the PLC fetches, and those that it fetches too late."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("pymodbus")

from pymodbus.client import ModbusTcpClient

from edge.line import ModbusServerConfig, StationState
from edge.line.handshake import Bits
from edge.line.modbus_server import ModbusServer
from edge.part.record import InspectionRecord
from edge.sim.poller import PollingPlc
from inspection.errors import LineError
from tests.doubles.line_peers import closing, free_port

MakeRecord = Callable[[int], InspectionRecord]
PORT = free_port()


def server(**settings: Any) -> ModbusServer:
    defaults: dict[str, Any] = {
        "kind": "modbus_server",
        "host": "127.0.0.1",
        "port": PORT,
        "register_address": 10,
        "acknowledge_register": 40,
        "hold_ms": 50.0,
        "timeout_ms": 100.0,
    }
    return ModbusServer(ModbusServerConfig.model_validate(defaults | settings))


@pytest.fixture
def plc() -> Iterator[ModbusTcpClient]:
    client = ModbusTcpClient("127.0.0.1", port=PORT, timeout=10, retries=0)
    yield client
    client.close()  # type: ignore[no-untyped-call]


def status(plc: ModbusTcpClient) -> Bits:
    return Bits(plc.read_input_registers(10, count=1).registers[0]) & ~Bits.HEARTBEAT


def test_what_is_not_fetched_in_time_is_taken_back(
    plc: ModbusTcpClient, make_record: MakeRecord
) -> None:
    output = server()
    output.open()
    output.show(StationState.READY)
    began = time.monotonic()
    with pytest.raises(LineError, match="the PLC did not acknowledge the verdict of test-000001"):
        output.send(make_record(1))
    assert time.monotonic() - began < 10
    assert status(plc) == Bits.FAULT
    output.close()


def test_the_acknowledge_of_another_part_is_none(
    plc: ModbusTcpClient, make_record: MakeRecord
) -> None:
    output = server()
    output.open()
    output.show(StationState.READY)
    plc.write_register(40, plc.read_input_registers(11, count=1).registers[0] + 2)
    with pytest.raises(LineError, match="test-000001"):
        output.send(make_record(1))
    output.close()


def test_without_acknowledge_nobody_polling_is_an_error(make_record: MakeRecord) -> None:
    output = server(acknowledge_register=None)
    output.open()
    with pytest.raises(LineError, match="the PLC did not fetch the verdict of test-000001"):
        output.send(make_record(1))
    output.close()


def test_two_verdicts_in_a_row_are_each_shown_for_their_time(make_record: MakeRecord) -> None:
    output = server(acknowledge_register=None, hold_ms=300.0, timeout_ms=10_000.0)
    output.open()
    with closing(PollingPlc(PORT, register_address=10)) as polling:
        polling.start()
        began = time.monotonic()
        output.send(make_record(1))  # until the PLC has read it
        output.send(make_record(2))
        assert time.monotonic() - began >= 0.3
    output.close()


def test_the_plc_cannot_write_verdicts(plc: ModbusTcpClient) -> None:
    output = server()
    output.open()
    assert plc.write_register(10, 8).isError()
    assert status(plc) == Bits(0)
    output.close()


def test_open_again_keeps_the_connection_and_is_safe(plc: ModbusTcpClient) -> None:
    output = server()
    output.open()
    output.show(StationState.READY)
    assert status(plc) == Bits.READY
    output.open()
    assert status(plc) == Bits(0)
    output.close()


def test_the_heartbeat_moves_with_every_call(plc: ModbusTcpClient) -> None:
    output = server()
    output.open()
    beats = []
    for _ in range(3):
        output.show(StationState.READY)
        beats.append(plc.read_input_registers(10, count=1).registers[0] & Bits.HEARTBEAT)
    assert beats[0] != beats[1] != beats[2]
    output.close()
