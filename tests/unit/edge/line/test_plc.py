"""The last words to a PLC by each protocol: a slow PLC takes them, and no reset overtakes them."""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from edge.line import EtherNetIpConfig, ModbusConfig, S7Config, StationState
from edge.line.handshake import Bits
from edge.line.plc import BlockPlaces, PlcOutput
from edge.part.record import InspectionRecord
from edge.peers.plc import PlcConnection, PlcError
from edge.sim.counting import CountingPlc
from inspection.errors import LineError
from tests.doubles import line_peers as peers
from tests.doubles.plc_wire import PlcWire

TIMEOUT_MS = 1000.0
LONG_S = 20.0

MakeRecord = Callable[[int], InspectionRecord]


@dataclass
class Line:
    plc: CountingPlc
    wire: PlcWire
    output: PlcOutput[Any]


def _modbus() -> tuple[CountingPlc, type[Any], dict[str, Any]]:
    pytest.importorskip("pymodbus")
    plc = peers.PlcServer(peers.free_port(), acknowledges=False)
    return plc, ModbusConfig, {"acknowledge_register": peers.ACKNOWLEDGE_REGISTER}


def _s7() -> tuple[CountingPlc, type[Any], dict[str, Any]]:
    pytest.importorskip("snap7")
    plc = peers.S7Plc(peers.free_port(), acknowledges=False)
    return plc, S7Config, {"db": peers.DATA_BLOCK, "acknowledge_byte": peers.ACKNOWLEDGE_BYTE}


def _ethernet_ip() -> tuple[CountingPlc, type[Any], dict[str, Any]]:
    plc = peers.LogixPlc(peers.free_port(), acknowledges=False)
    return plc, EtherNetIpConfig, {"tag": "Verdict", "acknowledge_tag": "Taken"}


PLCS = {"modbus": _modbus, "s7": _s7, "ethernet_ip": _ethernet_ip}


@pytest.fixture(params=PLCS)
def line(request: pytest.FixtureRequest) -> Iterator[Line]:
    plc, config, places = PLCS[request.param]()
    with peers.closing(plc):
        wire = PlcWire(request.param, plc.port, takes_one=True)
        settings = {"kind": request.param, "host": "127.0.0.1", "port": wire.port}
        made = config.model_validate(settings | {"timeout_ms": TIMEOUT_MS} | places)
        with peers.closing(wire), peers.closing(made.driver()) as output:
            output.open()
            output.show(StationState.READY)
            yield Line(plc, wire, output)


def shows_fault(plc: CountingPlc) -> bool:
    return plc.shown_bits() & ~Bits.HEARTBEAT == Bits.FAULT


def test_a_plc_that_takes_one_request_at_a_time_gets_the_safe_state(
    line: Line, make_record: MakeRecord
) -> None:
    waking = threading.Timer(1.5 * TIMEOUT_MS / 1e3, line.wire.go)
    waking.start()
    line.wire.hold_after(lambda: bool(line.plc.seen))
    with pytest.raises(LineError, match="no answer within 1000 ms"):
        line.output.send(make_record(1))
    peers.wait_for(lambda: shows_fault(line.plc), LONG_S)
    peers.wait_for(lambda: line.wire.ends, LONG_S)
    assert line.wire.ends == ["closed"]


def test_a_plc_that_is_off_for_long_fills_no_log(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    line.output.close()
    line.wire.close()
    for _ in range(3):
        with pytest.raises(LineError, match="cannot be opened; check the PLC, host, port"):
            line.output.open()
    assert not [one for one in caplog.messages if "safe state" in one]


def test_a_plc_that_wakes_late_gets_no_reset_before_the_last_words(
    line: Line, make_record: MakeRecord
) -> None:
    line.wire.takes_one = False
    line.wire.hold()
    with pytest.raises(LineError, match="no answer within 1000 ms"):
        line.output.send(make_record(1))
    line.wire.go()
    peers.wait_for(lambda: line.wire.ends, LONG_S)
    assert line.wire.ends == ["closed"]
    assert shows_fault(line.plc)


class Refusing:
    """A session with a PLC that refuses one of the requests, and keeps what it is written."""

    def __init__(self, refused: str, written: list[int]) -> None:
        self._refused = refused
        self._written = written

    async def connect(self) -> None:
        """The PLC is there."""

    async def read(self, _place: int, count: int = 1) -> Sequence[int]:
        if self._refused == "read":
            raise PlcError("no such address")
        return [0] * count

    async def write(self, place: int, _words: Sequence[int]) -> None:
        self._written.append(place)
        if self._refused == "write":
            raise PlcError("no such address")

    async def post(self, place: int, _words: Sequence[int]) -> None:
        self._written.append(place)

    async def close(self) -> None:
        """Nothing is open."""


def _refused(refused: str, written: list[int]) -> PlcOutput[int]:
    connection = PlcConnection("plc", lambda: Refusing(refused, written), LONG_S * 1e3)
    places = BlockPlaces(0, None, "", lambda _word, _bit: "")
    return PlcOutput("plc", connection, places, hold_ms=1.0, check="host")


@pytest.mark.parametrize(("refused", "written"), [("read", []), ("write", [0, 0])])
def test_a_plc_that_refuses_the_block_fills_no_log_and_gets_no_words_unasked(
    refused: str, written: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []
    output = _refused(refused, seen)
    refuses = pytest.raises(LineError, match="cannot be opened; check the PLC, host: no such")
    with peers.closing(output), refuses:
        output.open()
    assert seen == written
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []


def test_attempts_to_open_are_closed_once_at_the_end() -> None:
    output = _refused("read", [])
    before = atexit._ncallbacks()
    with peers.closing(output):
        for _ in range(3):
            with pytest.raises(LineError, match="cannot be opened"):
                output.open()
        assert atexit._ncallbacks() == before + 1
