"""A line in a virtual machine with a PLC and a broker, and an account of its parts."""

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
# A PLC considers a station dead when the heartbeat stops for this time.
SILENCE_S = 1.0

# Parts within a deadline of 500 ms, and parts in the queues of the outputs.
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
    """One write to the PLC."""

    at: float
    bits: Bits
    part: str

    @property
    def run(self) -> str:
        """Prefix of the trigger ids, which identifies the process."""
        return self.part.partition("-")[0]


class LineMachine:
    """The line press3, installed as a service and not started yet."""

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
        machine.run("systemctl", "stop", "mosquitto")  # Debian starts the broker with the machine
        self.installed = self.linewarden(
            "service", "install", "press3", "--config", "/srv/linewarden/press3.yaml"
        )

    def linewarden(self, *words: str) -> str:
        """Runs the command in the machine."""
        return self.machine.run("/opt/linewarden/bin/linewarden", *words)

    def override(self, settings: str) -> None:
        """Overrides settings of the unit, as an administrator would."""
        self.machine.write(f"/etc/systemd/system/{UNIT}.d/override.conf", settings)
        self.machine.run("systemctl", "daemon-reload")

    def is_well(self) -> bool:
        """Whether the health page says that the line takes parts and every output works."""
        page = "http://127.0.0.1:9540/readyz"
        code = f"import urllib.request as u; print(u.urlopen({page!r}, timeout=5).status)"
        answer = self.machine.run("/opt/linewarden/bin/python", "-c", code, check=False)
        return answer.strip() == "200"

    def start(self, *units: str) -> None:
        """Starts units, by default PLC, broker and line, and waits until they are ready."""
        self.machine.run("systemctl", "start", *(units or ("plc", "mosquitto", UNIT)))

    def stop(self) -> None:
        """Stops the line in order."""
        self.machine.run("systemctl", "stop", UNIT)

    def pid(self) -> str:
        """Process id of the line in the machine."""
        return self.machine.show(UNIT, "MainPID")

    def break_stage(self, fault: str) -> None:
        """Lets a stage fail at its next call, through `tests.doubles.faulty`."""
        path = self.machine.write("/var/lib/linewarden/.fault", fault)
        self.machine.run("chown", "linewarden:", "/var/lib/linewarden/.fault")
        path.rename(path.with_name("fault"))

    def struck_at(self) -> float:
        """Waits for the fault of `break_stage`, and returns its time."""
        path = self.state / "struck"
        wait_until(lambda: path.exists() and path.read_text())
        return float(path.read_text())

    def move(self, name: str, to: str) -> None:
        """Renames a folder of the line, such as its bundle or its parts."""
        (self._folder / name).rename(self._folder / to)

    def bundle_file(self, name: str) -> Path:
        """Returns a file of the bundle."""
        return self._folder / "bundle" / name

    def told(self) -> list[Told]:
        """Returns every write to the PLC."""
        notes = _lines(self.machine.root / "srv/plc.jsonl")
        return [Told(note["at"], Bits(note["bits"]), note["part"]) for note in notes]

    def verdicts(self) -> list[Told]:
        """Returns the verdicts that the PLC received, one for each part."""
        first: dict[str, Told] = {}
        for told in self.told():
            if Bits.RESULT_VALID in told.bits:
                first.setdefault(told.part, told)
        return list(first.values())

    def records(self) -> list[dict[str, Any]]:
        """Returns the records on disk."""
        folder = self.state / "records"
        if not (folder / FILE_NAME).exists():
            return []
        with RecordReader(folder) as reader:
            return [one.record.model_dump(mode="json") for one in reader.find(Filter())]

    def waiting(self) -> int:
        """Returns the number of verdicts that wait for the broker."""
        with RecordReader(self.state / "records") as reader:
            return sum(those.count for those in reader.waiting().values())

    def frames(self) -> int:
        """Returns the number of frames from the camera."""
        path = self.state / "frames"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def wait_for_verdicts(self, count: int, after: float = 0.0, limit_s: float = 90.0) -> None:
        """Waits for so many verdicts at the PLC after a moment."""
        wait_until(lambda: sum(told.at > after for told in self.verdicts()) >= count, limit_s)

    def safe_after_s(self, fault_at: float) -> float:
        """Returns the time after a fault in which the PLC still considered the station ready."""
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
        """Returns the time from a fault to the first verdict of another process; None before it."""
        runs = {told.run for told in self.verdicts() if told.at <= fault_at}
        news = [told.at for told in self.verdicts() if told.at > fault_at and told.run not in runs]
        return news[0] - fault_at if news else None

    def account(self) -> Account:
        """Counts the parts of a stopped line.

        Raises:
            AssertionError: a part has two records, a part in between has none, or a verdict at the
                PLC has no record.
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
            if told.part in interrupted:  # the record says that the verdict on the wire is unknown
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
    """The parts of a line.

    Attributes:
        frames: triggers: frames that the camera gave, and its losses.
        records: those with a record, one each.
        no_verdicts: number of records without a verdict.
    """

    frames: int
    records: int
    no_verdicts: int

    @property
    def in_hand(self) -> int:
        """Frames that a process took and lost when it died, before they were triggers."""
        return self.frames - self.records


@contextlib.contextmanager
def line_machine(folder: Path) -> Iterator[LineMachine]:
    """Yields a machine with the line installed and nothing started."""
    with booted(folder) as machine:
        yield LineMachine(machine)


def now() -> float:
    """Returns the time on the clock of all notes."""
    return time.time()


def _lines(path: Path) -> list[dict[str, Any]]:
    """Returns the complete lines of a file, also while a process writes to it."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
