"""A line in a machine of its own, with a PLC and a broker, and what became of its parts."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.line.handshake import Bits
from edge.store.database import FILE_NAME
from edge.store.reader import Filter, RecordReader
from inspection.images import encode_png
from inspection.verdict import Cause, Verdict
from tests import tiny_bundle
from tests.doubles.nspawn import SOURCE, Machine, booted, wait_until

UNIT = "linewarden@press3.service"
RATE_HZ = 10
# A PLC takes a station for dead when the heartbeat stands still for so long.
SILENCE_S = 1.0

# Parts that a deadline of 500 ms leaves open, and those behind the outputs.
IN_HAND_MAX = 8

_CONFIG = f"""\
bundle: bundle
engine: {{threads: 1}}
camera: {{kind: replay, path: parts, loop: true, rate_hz: {RATE_HZ}}}
deadline_ms: 500
outputs:
  - {{kind: jsonlines, path: /var/lib/linewarden/parts.jsonl}}
  - {{kind: modbus, host: 127.0.0.1, port: 1502, register_address: 0, hold_ms: 20}}
  - {{kind: mqtt, host: 127.0.0.1, topic: plant/press3, client_id: press3}}
records: {{folder: /var/lib/linewarden/records, images: {{max_bytes: 10000000, min_free_bytes: 0}}}}
health: {{port: 9540}}
"""
_PLC = f"""\
[Service]
Environment=PYTHONPATH={SOURCE} PYTHONDONTWRITEBYTECODE=1
ExecStart=/opt/linewarden/bin/python -m tests.doubles.plc 1502 /srv/plc.jsonl
"""


@dataclass(frozen=True)
class Told:
    """What the PLC was told by one write."""

    at: float
    bits: Bits
    part: str

    @property
    def run(self) -> str:
        """The process that inspected the part: what trigger ids begin with."""
        return self.part.partition("-")[0]


class LineMachine:
    """A line press3 that was installed as a service and is not started yet."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.state = machine.root / "var/lib/linewarden"
        self._folder = machine.root / "srv/linewarden"
        tiny_bundle.build(self._folder / "bundle")
        (self._folder / "parts").mkdir()
        dark = np.full((tiny_bundle.SIZE, tiny_bundle.SIZE), 50, np.uint8)
        spotted = dark.copy()
        spotted[10:14, 20:24] = 250
        for name, image in {"good": dark, "spotted": spotted}.items():
            (self._folder / "parts" / f"{name}.png").write_bytes(encode_png(image))
        machine.write("/srv/linewarden/press3.yaml", _CONFIG)
        machine.write("/etc/systemd/system/plc.service", _PLC)
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "stop", "mosquitto")  # Debian starts it with the machine
        self.installed = self.linewarden(
            "service", "install", "press3", "--config", "/srv/linewarden/press3.yaml"
        )

    def linewarden(self, *words: str) -> str:
        """Run the command in the machine."""
        return self.machine.run("/opt/linewarden/bin/linewarden", *words)

    def override(self, settings: str) -> None:
        """Lay settings over the unit, as an administrator would."""
        self.machine.write(f"/etc/systemd/system/{UNIT}.d/override.conf", settings)
        self.machine.run("systemctl", "daemon-reload")

    def is_well(self) -> bool:
        """Whether the health page says that the line takes parts and every output works."""
        page = "http://127.0.0.1:9540/readyz"
        code = f"import urllib.request as u; print(u.urlopen({page!r}, timeout=5).status)"
        answer = self.machine.run("/opt/linewarden/bin/python", "-c", code, check=False)
        return answer.strip() == "200"

    def start(self, *units: str) -> None:
        """Start units, by default PLC, broker and the line; returns when they are ready."""
        self.machine.run("systemctl", "start", *(units or ("plc", "mosquitto", UNIT)))

    def stop(self) -> None:
        """Stop the line in order."""
        self.machine.run("systemctl", "stop", UNIT)

    def pid(self) -> str:
        """The line's process, as the machine counts."""
        return self.machine.show(UNIT, "MainPID")

    def break_stage(self, fault: str) -> None:
        """Let a stage fail at its next call; see `tests.doubles.faulty`."""
        path = self.machine.write("/var/lib/linewarden/.fault", fault)
        self.machine.run("chown", "linewarden:", "/var/lib/linewarden/.fault")
        path.rename(path.with_name("fault"))

    def struck_at(self) -> float:
        """When the fault of `break_stage` happened; waits for it."""
        path = self.state / "struck"
        wait_until(lambda: path.exists() and path.read_text())
        return float(path.read_text())

    def move(self, name: str, to: str) -> None:
        """Rename a folder of the line: its bundle, its parts."""
        (self._folder / name).rename(self._folder / to)

    def bundle_file(self, name: str) -> Path:
        """A file of the bundle."""
        return self._folder / "bundle" / name

    def told(self) -> list[Told]:
        """Everything that the PLC was told."""
        notes = _lines(self.machine.root / "srv/plc.jsonl")
        return [Told(note["at"], Bits(note["bits"]), note["part"]) for note in notes]

    def verdicts(self) -> list[Told]:
        """The verdict of each part that the PLC was told, once."""
        first: dict[str, Told] = {}
        for told in self.told():
            if Bits.RESULT_VALID in told.bits:
                first.setdefault(told.part, told)
        return list(first.values())

    def records(self) -> list[dict[str, Any]]:
        """The records that are kept."""
        folder = self.state / "records"
        if not (folder / FILE_NAME).exists():
            return []
        with RecordReader(folder) as reader:
            return [one.record.model_dump(mode="json") for one in reader.find(Filter())]

    def waiting(self) -> int:
        """Verdicts that are stored for the broker."""
        with RecordReader(self.state / "records") as reader:
            return sum(those.count for those in reader.waiting().values())

    def frames(self) -> int:
        """How many frames the camera gave."""
        path = self.state / "frames"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def wait_for_verdicts(self, count: int, after: float = 0.0, limit_s: float = 90.0) -> None:
        """Wait until the PLC was told so many verdicts after a moment."""
        wait_until(lambda: sum(told.at > after for told in self.verdicts()) >= count, limit_s)

    def safe_after_s(self, fault_at: float) -> float:
        """How long after a fault the PLC still took the station for a living, ready one."""
        last = fault_at
        for told in self.told():
            if told.at <= fault_at:
                continue
            if told.at - last > SILENCE_S:
                break
            if Bits.READY not in told.bits and Bits.RESULT_VALID not in told.bits:
                return told.at - fault_at
            last = told.at
        return last + SILENCE_S - fault_at

    def recovered_after_s(self, fault_at: float) -> float | None:
        """How long after a fault another process told its first verdict; None: not yet."""
        runs = {told.run for told in self.verdicts() if told.at <= fault_at}
        news = [told.at for told in self.verdicts() if told.at > fault_at and told.run not in runs]
        return news[0] - fault_at if news else None

    def account(self) -> Account:
        """Count the parts; call it when the line is stopped.

        Raises:
            AssertionError: a part has two records, one in a row has none, or the PLC was told
                something that no record says.
        """
        records = self.records()
        runs: dict[str, list[int]] = {}
        for record in records:
            run, _, number = record["trigger_id"].partition("-")
            runs.setdefault(run, []).append(int(number))
        for numbers in runs.values():
            assert len(numbers) == len(set(numbers)), "a part has two records"
            settled = range(1, max(numbers) - IN_HAND_MAX + 1)
            assert set(settled) <= set(numbers), "a part has no record"
        verdicts = {record["trigger_id"]: record["verdict"] for record in records}
        interrupted = {
            record["trigger_id"] for record in records if record["cause"] == Cause.INTERRUPTED.value
        }
        for told in self.verdicts():
            assert told.part in verdicts, "the PLC was told a part that has no record"
            if told.part in interrupted:  # the record says that nobody knows what the line was told
                continue
            is_pass = verdicts[told.part] == Verdict.PASS.value
            assert (Bits.PASS in told.bits) == is_pass, "the PLC was told another verdict"
        lost = [record for record in records if record["cause"] == "camera"]
        return Account(
            frames=self.frames() + len(lost),
            records=len(records),
            no_verdicts=sum(record["verdict"] == "NO_VERDICT" for record in records),
        )


@dataclass(frozen=True)
class Account:
    """What became of the parts.

    Attributes:
        frames: triggers: frames that the camera gave, and its losses.
        records: those with a record, one each.
        no_verdicts: records without a verdict.
    """

    frames: int
    records: int
    no_verdicts: int

    @property
    def in_hand(self) -> int:
        """Frames that a process took from the camera and died before it made triggers of them."""
        return self.frames - self.records


@contextlib.contextmanager
def line_machine(folder: Path) -> Iterator[LineMachine]:
    """A machine with the line installed and nothing started."""
    with booted(folder) as machine:
        yield LineMachine(machine)


def now() -> float:
    """The clock that all notes use."""
    return time.time()


def _lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file, also while somebody writes to it."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
