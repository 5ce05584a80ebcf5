"""Every example of a line runs without hardware, with one command."""

import json
import socket
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from edge.recipe.request.config import RecipeRequestConfig
from edge.sim.base import free_port
from edge.sim.counting import CountingPlc
from edge.sim.line import simulated
from edge.sim.parts import graph
from edge.sim.plc import Plc, Registers
from edge.sim.plcs import plc_at, plc_peers, registers_of
from edge.station.config import LineConfig
from edge.store.reader import Filter, RecordReader
from inspection.config.loading import load_config
from inspection.errors import LineError
from linewarden.command_line import main
from tests.doubles.line_folder import GENEROUS_S
from tests.doubles.waiting import wait_for
from tests.tiny_bundle import brightness_graph

ROOT = Path(__file__).parents[4]
LINES = sorted((ROOT / "configs/line").glob("*.yaml"))
NOT_HERE = ("is not installed", "apt install")
# asyncua leaves sockets to the garbage collector when a client goes away.
UNTIDY = pytest.mark.filterwarnings("ignore::ResourceWarning")
PRESENT = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@UNTIDY
@PRESENT
@pytest.mark.parametrize("path", LINES, ids=lambda path: path.stem)
def test_an_example_runs_as_written(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "plant"
    # A gate must be farther than the deadline, which a slow machine needs.
    slow = ["outputs.0.gate.travel_ms=6000"] if path.stem == "gpio" else []
    slow = [word for setting in (*slow, "deadline_ms=5000") for word in ("--set", setting)]
    words = ["simulate", "line", "--config", str(path), "--out", str(out), "--json"]
    # The limit between two views is below half of the time between two parts.
    patient = path.stem == "views"
    slow += ["--set", "trigger.frame_limit_ms=450"] if patient else []
    code = main([*words, "--parts", "4", "--period-s", "1" if patient else "0.25", *slow])
    said = capsys.readouterr()
    if code and any(reason in said.err for reason in NOT_HERE):
        pytest.skip(said.err.strip().splitlines()[-1])
    assert code == 0, said.err
    told = [json.loads(line) for line in said.out.splitlines()]
    summary = told[-1]["summary"]
    assert summary["triggers"] >= 4
    assert summary["verdicts"]["PASS"] >= 2
    assert summary["verdicts"]["REJECT"] >= 1
    assert summary["verdicts"]["NO_VERDICT"] == 0
    taken = {one["machine"]: one["verdicts"] for one in told[:-1] if "verdicts" in one}
    assert all(verdicts >= 4 for verdicts in taken.values())
    assert "simulated: " in said.err
    assert load_config(out / "line.yaml", LineConfig).bundle == out / "bundle"  # as it ran


def test_the_file_of_the_graph_is_the_graph() -> None:
    assert graph() == brightness_graph().SerializeToString()


def test_a_trigger_of_the_plc_has_its_part_id(tmp_path: Path) -> None:
    pytest.importorskip("pymodbus")
    settings = [
        "trigger={kind: modbus, host: 192.168.0.10, address: 130, part_id_address: 140}",
        "deadline_ms=5000",
    ]
    config = load_config(ROOT / "configs/line/modbus.yaml", LineConfig, settings)
    registers = registers_of(config, config.outputs[0])  # type: ignore[arg-type]
    assert registers == Registers(block=100, acknowledge=120, trigger=130, part_id=(140, 8))
    with simulated(config, tmp_path, parts=1) as plant:
        assert len(plant.plcs) == 1
        (plc,) = plant.plcs.values()
        assert isinstance(plc, Plc)
        plc.announce("A-17")
        answer = plc.client.read_holding_registers(140, count=2).registers
        assert b"".join(word.to_bytes(2, "big") for word in answer) == b"A-17"


@pytest.mark.parametrize(
    ("example", "trigger"),
    [
        ("s7", "{kind: s7, host: 192.168.0.10, db: 100, byte: 32, part_id_byte: 34}"),
        ("s7", "{kind: s7, host: 192.168.0.10, db: 100, byte: 32, bit: 0}"),
        (
            "ethernet_ip",
            "{kind: ethernet_ip, host: 192.168.1.10, tag: LW_Trigger, part_id_tag: LW_PartId}",
        ),
    ],
)
def test_a_controller_announces_each_part(
    example: str, trigger: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if example == "s7":
        pytest.importorskip("snap7")
    words = ["simulate", "line", "--config", str(ROOT / f"configs/line/{example}.yaml")]
    words += ["--out", str(tmp_path / "plant"), "--json", "--parts", "3", "--period-s", "0.3"]
    for setting in (f"trigger={trigger}", "deadline_ms=5000", "records={folder: records}"):
        words += ["--set", setting]
    assert main(words) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told[-1]["summary"]["triggers"] == 3
    with RecordReader(tmp_path / "plant/records") as reader:
        names = sorted(str(stored.record.part_id) for stored in reader.find(Filter()))
    given = ["PART-0001", "PART-0002", "PART-0003"] if "part_id" in trigger else ["None"] * 3
    assert names == given


PLCS = {
    "modbus": "{kind: modbus, host: 192.168.0.10, request_address: 150, status_address: 151}",
    "s7": "{kind: s7, host: 192.168.0.10, db: 100, request_byte: 200, status_byte: 202}",
    "ethernet_ip": "{kind: ethernet_ip, host: 192.168.1.10, request_tag: Ask, status_tag: Answer}",
}


def plc_of(kind: str, port: int) -> CountingPlc:
    """Starts the PLC of an example, which asks for recipes too."""
    pytest.importorskip({"modbus": "pymodbus", "s7": "snap7"}.get(kind, "edge"))
    settings = [
        f"recipe_request={PLCS[kind]}",
        "recipes={1: {recipe: a}, 2: {recipe: b}}",
        "start_recipe=1",
    ]
    config = load_config(ROOT / f"configs/line/{kind}.yaml", LineConfig, settings)
    return plc_at(config, plc_peers(config)[0], port)


@pytest.mark.parametrize("kind", PLCS)
def test_a_plc_asks_for_recipes(kind: str) -> None:
    request = TypeAdapter(RecipeRequestConfig).validate_python(yaml.safe_load(PLCS[kind]))
    with closing(plc_of(kind, free_port())) as plc:
        here = request.model_copy(update={"host": "127.0.0.1", "port": plc.port})
        with closing(here.driver("request")) as source:
            source.open()
            plc.request_recipe(2)
            wait_for(lambda: (taken := source.take()) and taken.number == 2, GENEROUS_S)


@pytest.mark.parametrize("kind", PLCS)
def test_a_taken_port_is_named(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LineError, match=f"cannot listen on 127.0.0.1:{port}: .*another port"):
            plc_of(kind, port)
