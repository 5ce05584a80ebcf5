"""Modbus TCP as client: one block per verdict, a new number for each."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pymodbus")

from edge.line import ModbusConfig, StationState
from edge.line.handshake import Bits
from edge.line.plc import PlcOutput
from edge.part.record import InspectionRecord
from inspection.errors import LineError
from inspection.verdict import Verdict
from tests.doubles.line_peers import ACKNOWLEDGE_REGISTER, PlcServer, closing, free_port, wait_for

ROOT = Path(__file__).parents[4]
MakeRecord = Callable[..., InspectionRecord]


@pytest.fixture
def plc() -> Iterator[PlcServer]:
    with closing(PlcServer(free_port())) as peer:
        yield peer


def client(plc: PlcServer, **settings: Any) -> PlcOutput[int]:
    defaults: dict[str, Any] = {
        "kind": "modbus",
        "host": "127.0.0.1",
        "port": plc.port,
        "acknowledge_register": ACKNOWLEDGE_REGISTER,
        "hold_ms": 50.0,
        "timeout_ms": 1000.0,
    }
    return ModbusConfig.model_validate(defaults | settings).driver()


def test_an_acknowledged_verdict_is_taken_back(plc: PlcServer, make_record: MakeRecord) -> None:
    output = client(plc)
    output.open()
    output.show(StationState.READY)
    output.send(make_record(1))
    assert [Bits(write[0]) & Bits.RESULT_VALID for write in plc.writes] == [
        *(Bits(0), Bits(0), Bits.RESULT_VALID, Bits(0))
    ]
    output.close()


def test_a_missing_acknowledge_names_the_part_and_takes_the_verdict_back(
    plc: PlcServer, make_record: MakeRecord
) -> None:
    plc.acknowledges = False
    output = client(plc)
    output.open()
    output.show(StationState.READY)
    began = time.monotonic()
    with pytest.raises(
        LineError, match=r"test-000001; .* no acknowledge of sequence number \d+ in"
    ):
        output.send(make_record(1))
    assert time.monotonic() - began < 20
    wait_for(lambda: plc.shown() & ~Bits.HEARTBEAT == Bits.FAULT)
    with pytest.raises(LineError, match="is not open"):
        output.send(make_record(2))
    output.close()


def test_without_acknowledge_a_verdict_stands_for_a_while(
    plc: PlcServer, make_record: MakeRecord
) -> None:
    output = client(plc, acknowledge_register=None, hold_ms=1000.0)
    output.open()
    output.send(make_record(1))
    output.show(StationState.READY)
    assert Bits.REJECT in plc.shown_bits()
    time.sleep(1.0)
    output.show(StationState.READY)
    assert plc.shown_bits() & ~Bits.HEARTBEAT == Bits.READY
    output.close()


def test_two_verdicts_in_a_row_are_each_shown_for_their_time(
    plc: PlcServer, make_record: MakeRecord
) -> None:
    output = client(plc, acknowledge_register=None, hold_ms=300.0)
    output.open()
    output.show(StationState.READY)
    began = time.monotonic()
    output.send(make_record(1, Verdict.REJECT))
    output.send(make_record(2, Verdict.PASS))
    assert time.monotonic() - began >= 0.3
    assert [(seen.is_pass, seen.is_reject) for seen in plc.seen] == [(False, True), (True, False)]
    output.close()


def test_a_part_that_was_not_told_counts(plc: PlcServer, make_record: MakeRecord) -> None:
    output = client(plc)
    output.open()
    output.show(StationState.READY)
    output.send(make_record(1))
    first = plc.writes[-1][1]
    output.close()
    for number in (2, 3):
        with pytest.raises(LineError, match="is not open"):
            output.send(make_record(number))
    output.open()
    output.show(StationState.READY)
    output.send(make_record(4))
    assert plc.seen[-1].sequence == first + 3
    output.close()


def test_another_process_never_repeats_a_number(plc: PlcServer, make_record: MakeRecord) -> None:
    for number in (1, 2):
        output = client(plc)
        output.open()
        output.show(StationState.READY)
        output.send(make_record(number))
        output.close()
    first, second = [seen.sequence for seen in plc.seen]
    assert first is not None
    assert second == first + 257


def test_an_acknowledge_that_the_plc_kept_over_a_power_cut_confirms_no_part(
    plc: PlcServer, make_record: MakeRecord
) -> None:
    plc.acknowledges = False
    plc.write(ACKNOWLEDGE_REGISTER, 257)  # the block is 0: the next number would be this one
    output = client(plc)
    output.open()
    output.show(StationState.READY)
    with pytest.raises(LineError, match="no acknowledge of sequence number 514 in"):
        output.send(make_record(1))
    output.close()


@pytest.mark.parametrize("end", ["raise SystemExit(3)", "raise RuntimeError", "pass"])
def test_a_process_that_ends_without_close_leaves_the_safe_state(plc: PlcServer, end: str) -> None:
    code = f"""
from edge.line import ModbusConfig, StationState, output_from_config
output = output_from_config(ModbusConfig(kind="modbus", host="127.0.0.1", port={plc.port}))
output.open()
output.show(StationState.READY)
{end}
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, stderr=subprocess.DEVNULL)
    assert [Bits(write[0]) & ~Bits.HEARTBEAT for write in plc.writes] == [
        *(Bits(0), Bits.READY, Bits(0))
    ]


def test_a_refused_register_is_named(plc: PlcServer) -> None:
    with pytest.raises(LineError, match=r"register_address: .*refuses with exception code 2"):
        client(plc, register_address=1000).open()


def test_a_host_without_a_name_is_refused_in_time(plc: PlcServer) -> None:
    began = time.monotonic()
    with pytest.raises(LineError, match=r"modbus no\.such\.host\.invalid:\d+: cannot be opened"):
        client(plc, host="no.such.host.invalid").open()
    assert time.monotonic() - began < 20


def test_a_plc_that_went_away_is_an_error(plc: PlcServer, make_record: MakeRecord) -> None:
    output = client(plc)
    output.open()
    plc.close()
    plc.close = lambda: None  # type: ignore[method-assign]
    time.sleep(0.05)
    with pytest.raises(LineError, match="test-000001"):
        output.send(make_record(1))
    output.close()
