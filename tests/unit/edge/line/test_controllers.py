"""Outputs to S7 and Logix controllers: what is wrong in the controller is said by name."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("snap7")

from edge.line import EtherNetIpConfig, S7Config, StationState
from edge.line.handshake import Bits
from edge.line.plc import PlcOutput
from edge.part.record import InspectionRecord
from edge.sim.logix import DINT, INT, Logix, Tag
from edge.sim.s7 import S7Controller
from inspection.errors import LineError
from tests.doubles.line_peers import (
    ACKNOWLEDGE_BYTE,
    BLOCK,
    DATA_BLOCK,
    LogixPlc,
    S7Plc,
    closing,
    free_port,
    wait_for,
)

GENEROUS_MS = 10_000.0
MakeRecord = Callable[[int], InspectionRecord]


@pytest.fixture
def s7() -> Iterator[S7Controller]:
    with closing(S7Controller(free_port(), {DATA_BLOCK: bytearray(64)})) as controller:
        yield controller


@pytest.fixture
def logix() -> Iterator[Logix]:
    tags = {"Verdict": Tag(DINT, [0] * BLOCK), "Taken": Tag(DINT, [0])}
    tags |= {"Short": Tag(DINT, [0] * 14), "Words": Tag(INT, [0] * BLOCK)}
    with closing(Logix(free_port(), tags)) as controller:
        yield controller


def s7_output(port: int, **settings: Any) -> PlcOutput[Any]:
    defaults: dict[str, Any] = {
        "kind": "s7",
        "host": "127.0.0.1",
        "port": port,
        "db": DATA_BLOCK,
        "acknowledge_byte": ACKNOWLEDGE_BYTE,
        "timeout_ms": GENEROUS_MS,
    }
    return S7Config.model_validate(defaults | settings).driver()


def logix_output(port: int, **settings: Any) -> PlcOutput[Any]:
    defaults: dict[str, Any] = {
        "kind": "ethernet_ip",
        "host": "127.0.0.1",
        "port": port,
        "tag": "Verdict",
        "acknowledge_tag": "Taken",
        "timeout_ms": GENEROUS_MS,
    }
    return EtherNetIpConfig.model_validate(defaults | settings).driver()


def refusal(output: PlcOutput[Any]) -> str:
    with pytest.raises(LineError) as caught:
        output.open()
    output.close()
    return str(caught.value)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"slot": 2}, "check the PLC, host, port, rack, slot, db, start_byte and"),
        ({"rack": 1}, "check the PLC, host, port, rack, slot, db, start_byte and"),
        ({"db": 11}, "there is no such data block with addresses; make it, and switch off 'Opt"),
        ({"start_byte": 35}, "the data block is too short; make it longer (switch off 'Optimized"),
        ({"acknowledge_byte": 63}, "the data block is too short"),
    ],
)
def test_a_wrong_place_in_an_s7_is_named(
    s7: S7Controller, settings: dict[str, Any], expected: str
) -> None:
    message = refusal(s7_output(s7.port, **settings))
    assert message.startswith(f"s7 127.0.0.1:{s7.port}: cannot be opened; check the PLC, host")
    assert expected in message


def test_an_s7_that_does_not_permit_put_and_get_is_told_from_others(s7: S7Controller) -> None:
    s7.refusal = 0x8104
    message = refusal(s7_output(s7.port))
    assert "does not permit access with PUT/GET; permit it in the protection settings" in message
    assert "switch off 'Optimized block access'" in message


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"slot": 3}, "there is no module in the slot; check 'slot'"),
        ({"tag": "Nothing"}, "there is no such tag"),
        ({"tag": "Short"}, "the tag is too short: 15 elements are needed"),
        ({"tag": "Words"}, "the tag is of another type; it should be DINT"),
        ({"acknowledge_tag": "Nothing"}, "there is no such tag"),
    ],
)
def test_a_wrong_place_in_a_logix_is_named(
    logix: Logix, settings: dict[str, Any], expected: str
) -> None:
    message = refusal(logix_output(logix.port, **settings))
    assert message.startswith(f"ethernet_ip 127.0.0.1:{logix.port}: cannot be opened; check the PL")
    assert expected in message


def test_an_acknowledge_that_is_no_number_is_an_error(
    logix: Logix, make_record: MakeRecord
) -> None:
    output = logix_output(logix.port)
    output.open()
    logix.tags["Taken"].values[0] = -1
    with pytest.raises(LineError, match=r"holds \[4294967295\]; each should be 0 to 65535"):
        output.send(make_record(1))
    output.close()


@pytest.mark.parametrize("nonsense", [b"HTTP/1.1 400 Bad Request\r\n\r\n" * 9, b"\0" * 64, b"e"])
@pytest.mark.parametrize("output_at", [s7_output, logix_output])
def test_a_peer_that_talks_nonsense_is_an_error_in_time(
    output_at: Callable[..., PlcOutput[Any]], nonsense: bytes
) -> None:
    """The last of them says one byte and leaves."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(64)
                connection.sendall(nonsense)

        thread = threading.Thread(target=talk)
        thread.start()
        message = refusal(output_at(server.getsockname()[1]))
        thread.join()
    assert "cannot be opened" in message
    assert f"within {GENEROUS_MS:g} ms" not in message


@pytest.mark.parametrize("peer_at", [S7Plc, LogixPlc])
def test_a_controller_that_restarts_is_told_the_next_part(
    peer_at: Callable[[int], S7Plc | LogixPlc], make_record: MakeRecord
) -> None:
    port = free_port()
    output = s7_output(port) if peer_at is S7Plc else logix_output(port)
    with closing(peer_at(port)) as plc:
        output.open()
        output.show(StationState.READY)
        output.send(make_record(1))
        assert plc.seen[-1].trigger_id == "test-000001"
    with pytest.raises(LineError, match="did not take the verdict of test-000002"):
        output.send(make_record(2))
    with closing(peer_at(port)) as plc:
        wait_for(lambda: _opens(output), 20.0)
        output.show(StationState.READY)
        output.send(make_record(3))
        assert [seen.trigger_id for seen in plc.seen] == ["test-000003"]
        output.close()
        wait_for(lambda: plc.shown_bits() & ~Bits.HEARTBEAT == Bits(0), 20.0)


def _opens(output: PlcOutput[Any]) -> bool:
    try:
        output.open()
    except LineError:
        return False
    return True


def test_a_verdict_that_is_still_shown_is_taken_back_before_the_next(
    make_record: MakeRecord,
) -> None:
    """A program that reads between two words sees no PASS with the number of another part."""
    with closing(LogixPlc(free_port(), acknowledges=False)) as plc:
        output = logix_output(plc.port, acknowledge_tag=None)
        output.open()
        for number in (1, 2):
            output.send(make_record(number))
        shown = [Bits.RESULT_VALID in Bits(words[0]) for words in plc.writes]
        assert shown == [False, True, False, True]
        assert plc.writes[-2][1] == plc.writes[-3][1]
        output.close()
