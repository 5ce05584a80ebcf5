"""The guide for PLCs is that of the code, and its examples run against the station."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

pytest.importorskip("pymodbus")

from edge.line import EtherNetIpConfig, LineOutput, ModbusServerConfig, StationState
from edge.line.block import BLOCK_WORDS, CAUSE_MEANINGS
from edge.line.handshake import MEANINGS, Bits
from edge.part.record import InspectionRecord
from edge.station.config import LineConfig
from inspection.config.loading import load_config
from inspection.errors import LineError
from inspection.verdict import Cause, Verdict
from studies.plc_guide import DIAGRAM, GUIDE, TABLES, with_tables
from studies.plc_pages.diagram import diagram
from tests.doubles.line_peers import free_port
from tests.doubles.waiting import wait_for

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs/examples/plc"
GENEROUS_S = 60.0

MakeRecord = Callable[..., InspectionRecord]


def test_tables_and_diagram_are_those_of_the_code() -> None:
    """`make plc-docs` writes them."""
    page = GUIDE.read_text()
    assert with_tables(page) == page
    assert all(f"<!-- from the code: {name} -->" in page for name in TABLES)
    assert DIAGRAM.read_text() == diagram()


def test_every_bit_and_cause_is_explained() -> None:
    assert set(MEANINGS) == set(Bits)
    assert set(CAUSE_MEANINGS) == set(Cause)


def test_every_example_is_in_the_guide() -> None:
    page = GUIDE.read_text()
    assert all(f"](../examples/plc/{path.name})" in page for path in EXAMPLES.iterdir())


def statements(text: str) -> list[str]:
    """Returns the statements of the function block, without comments and the signs of TIA."""
    code = re.sub(r"\(\*.*?\*\)|//[^\n]*", "", text, flags=re.DOTALL)
    code = re.sub(r"(?<!\w)#", "", code)
    block = code.partition("FUNCTION_BLOCK ")[2].partition("END_FUNCTION_BLOCK")[0]
    return block.rpartition("END_VAR")[2].replace("BEGIN", "").split()


def test_the_scl_has_the_statements_of_the_structured_text() -> None:
    st, scl = ((EXAMPLES / f"linewarden.{kind}").read_text() for kind in ("st", "scl"))
    assert statements(scl) == statements(st)
    assert len(statements(st)) > 200


def test_the_scl_has_the_data_block_of_the_configuration() -> None:
    data = (EXAMPLES / "linewarden.scl").read_text().partition("END_STRUCT")[0]
    places, at = {}, 0
    sizes = {"Word": 2, "String[32]": 34, "Array[0..14] of Word": 30, "Array[0..2] of Word": 6}
    for name, kind in re.findall(r"^      (\w+) : ([^;]+);", data, re.MULTILINE):
        places[name] = at
        at += sizes[kind]
    text = (ROOT / "configs/line/s7.yaml").read_text()
    expected = {
        "start_byte": places["Verdict"],
        "acknowledge_byte": places["Acknowledge"],
        "byte": places["Trigger"],
        "part_id_byte": places["PartId"],
        "request_byte": places["RecipeRequest"],
        "status_byte": places["RecipeStatus"],
    }
    for key, place in expected.items():
        assert re.search(rf"\b{key}: {place}\b", text), (key, place)


def test_the_tags_are_those_of_the_configuration() -> None:
    rows = csv.reader((EXAMPLES / "linewarden_tags.csv").read_text().splitlines())
    kinds = {row[2]: row[4] for row in rows if row[0] == "TAG"}
    text = (ROOT / "configs/line/ethernet_ip.yaml").read_text()
    named = set(re.findall(r"\bLW_\w+", text))
    assert named == set(kinds)
    (output,) = load_config(ROOT / "configs/line/ethernet_ip.yaml", LineConfig).outputs
    assert isinstance(output, EtherNetIpConfig)
    assert kinds[output.tag] == f"DINT[{BLOCK_WORDS}]"


class Take(Protocol):
    """Returns the verdicts that an example has taken so far: number, verdict, cause."""

    def __call__(self) -> list[tuple[int, str, int]]: ...


@contextmanager
def python_script(port: int) -> Iterator[Take]:
    command = [sys.executable, str(EXAMPLES / "modbus_plc.py"), "127.0.0.1", str(port)]
    lines: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        reader = threading.Thread(target=lambda: lines.extend(process.stdout or ()))
        reader.start()
        try:
            yield lambda: [
                (int(number), verdict, int(cause))
                for number, verdict, cause in map(str.split, lines)
            ]
        finally:
            process.kill()
            reader.join()


_RUN_FUNCTION = """
const fs = require("fs");
const code = JSON.parse(fs.readFileSync(process.argv[2])).find((n) => n.type === "function").func;
const kept = {};
const context = { get: (key) => kept[key], set: (key, value) => { kept[key] = value; } };
const call = new Function("msg", "context", code);
require("readline").createInterface({ input: process.stdin }).on("line", (line) =>
  console.log(JSON.stringify(call({ payload: JSON.parse(line) }, context))));
"""


@contextmanager
def node_red_function(port: int) -> Iterator[Take]:
    """Runs the function of the flow in Node.js, and reads and writes for it as the palette does."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs Node.js")
    from pymodbus.client import ModbusTcpClient

    command = [node, "-e", _RUN_FUNCTION, "x", str(EXAMPLES / "node_red.json")]
    client = ModbusTcpClient("127.0.0.1", port=port)
    taken: list[tuple[int, str, int]] = []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        ends = threading.Event()

        def poll() -> None:
            assert process.stdin is not None
            assert process.stdout is not None
            while not ends.wait(0.01):
                words = client.read_input_registers(0, count=BLOCK_WORDS).registers
                process.stdin.write(json.dumps(words) + "\n")
                process.stdin.flush()
                verdict, acknowledge = json.loads(process.stdout.readline())
                if verdict is not None:
                    one = verdict["payload"]
                    taken.append((one["number"], one["verdict"], one["cause"]))
                    request: dict[str, Any] = acknowledge["payload"]
                    client.write_register(request["address"], request["value"])

        poller = threading.Thread(target=poll)
        poller.start()
        try:
            yield lambda: list(taken)
        finally:
            ends.set()
            poller.join()
            process.kill()
            client.close()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("example", [python_script, node_red_function])
def test_an_example_takes_each_verdict_of_the_station(
    example: Callable[[int], Any], make_record: MakeRecord
) -> None:
    port = free_port()
    config = ModbusServerConfig(
        kind="modbus_server",
        host="127.0.0.1",
        port=port,
        acknowledge_register=0,
        timeout_ms=2000.0,
    )
    output: LineOutput = config.driver()
    output.open()
    try:
        with example(port) as taken:
            wait_for(lambda: _tells(output, make_record(1)), GENEROUS_S)
            for number, (verdict, cause) in enumerate(
                ((Verdict.REVIEW, None), (Verdict.NO_VERDICT, Cause.DEADLINE)), start=2
            ):
                record = make_record(number)
                output.send(record.model_copy(update={"verdict": verdict, "cause": cause}))
            wait_for(lambda: len(taken()) == 3, GENEROUS_S)
            numbers = [number for number, _, _ in taken()]
            assert numbers == [numbers[0] + place for place in range(3)]
            assert [one[1:] for one in taken()] == [("REJECT", 0), ("REJECT", 0), ("NO_VERDICT", 5)]
    finally:
        output.close()


def _tells(output: LineOutput, record: InspectionRecord) -> bool:
    """Tells the first verdict; False while the example is not there to see READY before it."""
    try:
        output.open()
        output.show(StationState.READY)
        time.sleep(0.2)  # several looks of the example
        output.send(record)
    except LineError:
        return False
    return True
