"""Both halves of the handshake, each in a process that a test may kill: a station, and a PLC.

The PLC runs the example docs/examples/plc/linewarden.st: it sends parts, and notes what it was told
of each. The station keeps records, as a real one does.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from pydantic import TypeAdapter

from edge.line.outputs_config import OutputConfig, output_from_config
from edge.part.frame import Frame
from edge.part.result import ONLY_VIEW
from edge.pipeline.pipeline import Pipeline
from edge.pipeline.settings import Hooks, PartLimits, RunSettings, View
from edge.sim.logix import DINT, STRING, Logix, Tag
from edge.sim.s7 import S7Controller
from edge.store.config import RecordsConfig
from edge.store.station_records import StationRecords
from edge.trigger.config import TriggerConfig
from tests.doubles.line_peers import BLOCK
from tests.doubles.pipelines import FakeInspector, frame
from tests.doubles.register_plc import RegisterPlc
from tests.doubles.structured_text import FunctionBlock

EXAMPLE = Path(__file__).parents[2] / "docs/examples/plc/linewarden.st"
CYCLE_S = 0.001
PART_TIME_MS, SILENT_TIME_MS = 3000, 3000
DEADLINE_MS, TIMEOUT_MS = 1500.0, 1000.0
DB = 100

_ACKNOWLEDGE, _TRIGGER, _PART_ID = 15, 16, 17  # words behind the block; a STRING[32] from byte 34

SETTINGS: dict[str, dict[str, Any]] = {
    "modbus": {
        "output": {"register_address": 0, "acknowledge_register": _ACKNOWLEDGE},
        "trigger": {"address": _TRIGGER, "part_id_address": _PART_ID},
    },
    "s7": {
        "output": {"db": DB, "acknowledge_byte": 2 * _ACKNOWLEDGE},
        "trigger": {"db": DB, "byte": 2 * _TRIGGER, "part_id_byte": 2 * _PART_ID},
    },
    "ethernet_ip": {
        "output": {"tag": "LW_Verdict", "acknowledge_tag": "LW_Acknowledge"},
        "trigger": {"tag": "LW_Trigger", "part_id_tag": "LW_PartId"},
    },
}
"""Settings of the output and of the trigger, by protocol."""


class Memory(Protocol):
    """The memory of a PLC that both its program and the station use."""

    def block(self) -> Sequence[int]:
        """Returns the words of the station."""

    def write(self, acknowledge: int, trigger: int, part_id: str) -> None:
        """Writes the words and the text for the station; the trigger last."""

    def close(self) -> None: ...


class S7Memory:
    """A data block."""

    def __init__(self, port: int) -> None:
        self._data = bytearray(128)
        self._controller = S7Controller(port, {DB: self._data})

    def block(self) -> Sequence[int]:
        data = bytes(self._data[: 2 * BLOCK])  # one piece: the lock of the interpreter
        return [int.from_bytes(data[at : at + 2], "big") for at in range(0, 2 * BLOCK, 2)]

    def write(self, acknowledge: int, trigger: int, part_id: str) -> None:
        text = bytes([32, len(part_id)]) + part_id.encode()
        self._data[2 * _PART_ID : 2 * _PART_ID + len(text)] = text
        words = acknowledge.to_bytes(2, "big") + trigger.to_bytes(2, "big")
        self._data[2 * _ACKNOWLEDGE : 2 * _PART_ID] = words

    def close(self) -> None:
        self._controller.close()


class LogixMemory:
    """Tags."""

    def __init__(self, port: int) -> None:
        self._tags = {
            "LW_Verdict": Tag(DINT, [0] * BLOCK),
            "LW_Acknowledge": Tag(DINT, [0]),
            "LW_Trigger": Tag(DINT, [0]),
            "LW_PartId": Tag(STRING),
        }
        self._controller = Logix(port, self._tags)

    def block(self) -> Sequence[int]:
        return list(self._tags["LW_Verdict"].values)

    def write(self, acknowledge: int, trigger: int, part_id: str) -> None:
        self._tags["LW_PartId"].text = part_id
        self._tags["LW_Acknowledge"].values[0] = acknowledge
        self._tags["LW_Trigger"].values[0] = trigger

    def close(self) -> None:
        self._controller.close()


class ModbusMemory:
    """Holding registers; the program reads and writes them over a connection of its own."""

    def __init__(self, port: int) -> None:
        self._plc = RegisterPlc(port)
        self._written: tuple[int, int, str] | None = None

    def block(self) -> Sequence[int]:
        return self._plc.client.read_holding_registers(0, count=BLOCK, device_id=1).registers

    def write(self, acknowledge: int, trigger: int, part_id: str) -> None:
        if self._written == (acknowledge, trigger, part_id):
            return
        self._written = acknowledge, trigger, part_id
        text = part_id.encode().ljust(16, b"\0")
        words = [int.from_bytes(text[at : at + 2], "big") for at in range(0, 16, 2)]
        self._plc.write(_ACKNOWLEDGE, acknowledge, trigger, *words)

    def close(self) -> None:
        self._plc.close()


MEMORIES: dict[str, Callable[[int], Memory]] = {
    "modbus": ModbusMemory,
    "s7": S7Memory,
    "ethernet_ip": LogixMemory,
}


def run_plc(kind: str, port: int, folder: Path, parts: int) -> None:
    """Sends parts by the example until `parts` are noted in `folder`, over all runs."""
    notes = folder / "plc.jsonl"
    done = len(notes.read_text().splitlines()) if notes.exists() else 0
    memory = MEMORIES[kind](port)
    program = FunctionBlock(EXAMPLE.read_text(), lambda: time.monotonic() * 1e3)
    variables = program.variables
    variables |= {"PartTime": PART_TIME_MS, "SilentTime": SILENT_TIME_MS}
    run = os.urandom(2).hex()
    file = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    while done < parts:
        time.sleep(CYCLE_S)
        part_id = f"{run}-{done:06d}"
        variables["Block"] = memory.block()
        variables["Part"] = variables["Waiting"] or (variables["Ready"] and not variables["Done"])
        program.call()
        if variables["Done"]:
            shown = [name for name in ("Passed", "Rejected", "NoVerdict") if variables[name]]
            number = variables["Acknowledge"] if not variables["NoVerdict"] else 0
            text = b"".join(word.to_bytes(2, "big") for word in variables["Block"][3:])
            entry: dict[str, Any] = {"part": part_id, "told": shown, "at": time.time()}
            entry["trigger"] = text.rstrip(b"\0").decode() if number else ""
            os.write(file, (json.dumps(entry) + "\n").encode())
            done += 1
        memory.write(variables["Acknowledge"], variables["Trigger"], part_id)
    time.sleep(0.2)  # the last acknowledge is read
    memory.close()


class Exposed:
    """A camera that gives one frame for each call of `expose`."""

    waits = False

    def __init__(self) -> None:
        self._exposed = threading.Semaphore(0)
        self._count = 0

    def open(self) -> None:
        pass

    def expose(self) -> None:
        self._exposed.release()

    def read(self, timeout_s: float) -> Frame | None:
        if not self._exposed.acquire(timeout=timeout_s):
            return None
        self._count += 1
        return frame(self._count)

    def close(self) -> None:
        pass


def run_station(kind: str, port: int, folder: Path) -> None:
    """Inspects the parts of the PLC, with records in `folder`, until it is killed."""
    where = {"kind": kind, "host": "127.0.0.1", "port": port, "timeout_ms": TIMEOUT_MS}
    settings = SETTINGS[kind]
    output = TypeAdapter[Any](OutputConfig).validate_python(where | settings["output"])
    trigger = TypeAdapter[Any](TriggerConfig).validate_python(
        where | {"poll_ms": 2} | settings["trigger"]
    )
    station = StationRecords(RecordsConfig(folder=folder / "records"), {})
    camera = Exposed()
    with station.open():
        Pipeline(
            views=[View(ONLY_VIEW, camera, FakeInspector(), camera.expose)],
            outputs={kind: output_from_config(output)},
            trigger=trigger.driver(None),
            settings=RunSettings(PartLimits(DEADLINE_MS), waits_to_open=True, longest_pause_s=0.5),
            hooks=Hooks(
                on_trigger=station.on_trigger,
                on_verdict=station.on_verdict,
                on_pending=station.on_pending,
                on_record=station.on_record,
            ),
        ).run()


def finish_records(folder: Path) -> None:
    """Writes the records of the parts that were in hand when the station was killed."""
    with StationRecords(RecordsConfig(folder=folder / "records"), {}).open():
        pass
