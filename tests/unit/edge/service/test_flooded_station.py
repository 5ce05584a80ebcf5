"""A host opens more connections than a process may have descriptors: the line goes on."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("pymodbus", reason="needs pip install 'linewarden[modbus]'")

from edge.line import ModbusServerConfig, StationState
from edge.line.modbus_server import ModbusServer
from edge.part.record import InspectionRecord
from edge.peers.connections import ConnectionLimits
from edge.peers.messages import Message
from edge.pipeline.status import OutputStatus, PipelineStatus
from edge.recipe.changeover import RecipeStatus
from edge.service.health import HealthPage
from edge.station.control import Command, ControlSocket, ask
from edge.station.status import StationStatus
from tests.doubles.flooder import flooded
from tests.doubles.line_peers import ACKNOWLEDGE_REGISTER, PlcClient, closing, free_port
from tests.doubles.waiting import wait_for

MakeRecord = Callable[[int], InspectionRecord]

CONNECTIONS = 1100
GENEROUS_S = 30.0
OUTPUTS = {"modbus_server": OutputStatus(is_up=True)}
STATUS = StationStatus(PipelineStatus(True, (), (), OUTPUTS, 0, 0, 0, 0, 0, 0), RecipeStatus(None))


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def output() -> Iterator[ModbusServer]:
    config = ModbusServerConfig(
        kind="modbus_server",
        host="127.0.0.1",
        port=free_port(),
        acknowledge_register=ACKNOWLEDGE_REGISTER,
        timeout_ms=10_000.0,
    )
    with closing(ModbusServer(config)) as output:
        output.open()
        output.show(StationState.READY)
        yield output


def test_page_commands_and_verdicts_go_on(
    output: ModbusServer, make_record: MakeRecord, tmp_path: Path
) -> None:
    health = HealthPage(host="127.0.0.1", port=0)
    commands = {"state": Command(Message, lambda _request: {})}
    control = tmp_path / "line.sock"
    modbus = output._config.port
    plc = PlcClient(modbus)
    plc.start()
    with (
        closing(plc),
        health.serving(lambda: STATUS) as page,
        ControlSocket(control, commands),
    ):
        plc.meet()
        before = descriptors()
        with flooded(CONNECTIONS, modbus, page, control):
            wait_for(lambda: descriptors() <= before + 3 * ConnectionLimits().max, GENEROUS_S)
            for number in range(1, 4):
                output.send(make_record(number))
            assert [seen.trigger_id for seen in plc.seen] == [f"test-{n:06d}" for n in range(1, 4)]
            with urllib.request.urlopen(f"http://127.0.0.1:{page}/healthz", timeout=30) as answer:
                assert answer.status == 200
            assert ask(control, "state")["ok"]
