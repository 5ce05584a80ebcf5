"""A line in a virtual machine with a PLC and a broker, and an account of its parts."""

from __future__ import annotations

import contextlib
import gzip
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.line.handshake import VERDICT_BITS, Bits
from edge.store.database import FILE_NAME
from edge.store.reader import Filter, RecordReader
from inspection.images import encode_png
from inspection.verdict import Cause, Verdict
from tests import tiny_bundle
from tests.doubles.nspawn import SOURCE, Machine, booted, wait_until

PYTHON = "/opt/linewarden/bin/python"
CONFIG = "/srv/linewarden/press3.yaml"
UNIT = "linewarden@press3.service"
RATE_HZ = 10
# A PLC considers a station dead when the heartbeat stops for this time.
SILENCE_S = 1.0

# Parts within a deadline of 500 ms, and parts in the queues of the outputs.
IN_HAND_MAX = 8

HEALTH_PORT, UNPOLLED_PORT = 9540, 1503
CONTROL_SOCKET = "/run/linewarden/press3/line.sock"
OUTPUTS = """\
  - {kind: jsonlines, path: /var/lib/linewarden/parts.jsonl}
  - {kind: modbus, host: 127.0.0.1, port: 1502, register_address: 0, hold_ms: 20}
  - {kind: mqtt, host: 127.0.0.1, topic: plant/press3, client_id: press3}
"""

_CONFIG = f"""\
bundle: bundle
engine: {{threads: 1}}
camera: {{kind: replay, path: parts, loop: true, rate_hz: {RATE_HZ}}}
deadline_ms: 500
outputs:
{OUTPUTS}records:
  folder: /var/lib/linewarden/records
  images: {{max_bytes: 10000000, min_free_bytes: 0}}
health: {{port: {HEALTH_PORT}}}
control_socket: {CONTROL_SOCKET}
"""
_SERVICE = f"""\
[Service]
Environment=PYTHONPATH={SOURCE} PYTHONDONTWRITEBYTECODE=1
ExecStart={PYTHON} -m """


_READYZ = f"""\
import http.client, json
page = http.client.HTTPConnection("127.0.0.1", {HEALTH_PORT}, timeout=5)
page.request("GET", "/readyz")
answer = page.getresponse()
print(json.dumps([answer.status, json.loads(answer.read())]))
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

    @property
    def verdict(self) -> Verdict:
        """The verdict that the bits say, of a write with RESULT_VALID."""
        judged = Bits.PASS | Bits.REJECT | Bits.REVIEW | Bits.NO_VERDICT
        return next(one for one, bits in VERDICT_BITS.items() if bits == self.bits & judged)


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
        machine.write(CONFIG, _CONFIG)
        plcs = {
            "plc": "tests.doubles.plc 1502",
            "poller": f"tests.doubles.polling_plc {UNPOLLED_PORT}",
        }
        for name, module in plcs.items():
            service = f"{_SERVICE}{module} /srv/{name}.jsonl\n"
            machine.write(f"/etc/systemd/system/{name}.service", service)
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "stop", "mosquitto")  # Debian starts the broker with the machine
        self.installed = self.linewarden("service", "install", "press3", "--config", CONFIG)

    def linewarden(self, *words: str) -> str:
        """Runs the command in the machine."""
        return self.machine.run("/opt/linewarden/bin/linewarden", *words)

    def override(self, settings: str) -> None:
        """Overrides settings of the unit, as an administrator would."""
        self.machine.write(f"/etc/systemd/system/{UNIT}.d/override.conf", settings)
        self.machine.run("systemctl", "daemon-reload")

    def rewrite(self, old: str, new: str) -> None:
        """Changes a part of the configuration; it counts from the next start."""
        path = self._folder / "press3.yaml"
        text = path.read_text()
        assert old in text, f"the configuration has no {old!r}"
        path.write_text(text.replace(old, new))

    def python(self, code: str, *words: str) -> str:
        """Runs a few lines of Python in the machine."""
        return self.machine.run("env", f"PYTHONPATH={SOURCE}", PYTHON, "-c", code, *words)

    def health(self) -> tuple[int, dict[str, Any]]:
        """Returns the status code of /readyz, and the state of the line there."""
        status, answer = json.loads(self.python(_READYZ))
        return status, answer

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
        return self._noted("plc")

    def fetched(self) -> list[Told]:
        """Returns the verdicts that the polling PLC read."""
        return [told for told in self._noted("poller") if Bits.RESULT_VALID in told.bits]

    def _noted(self, name: str) -> list[Told]:
        notes = _lines(self.machine.root / f"srv/{name}.jsonl")
        return [Told(note["at"], Bits(note["bits"]), note["part"]) for note in notes]

    def json_lines(self) -> list[dict[str, Any]]:
        """Returns what the JSON lines hold, with the files that were rotated."""
        return [line for path in self.state.glob("parts.jsonl*") for line in _lines(path)]

    def verdicts(self) -> list[Told]:
        """Returns the verdicts that the PLC received, one for each part."""
        first: dict[str, Told] = {}
        for told in self.told():
            if Bits.RESULT_VALID in told.bits:
                first.setdefault(told.part, told)
        return list(first.values())

    def records(self, name: str = "records") -> list[dict[str, Any]]:
        """Returns the records in a folder of the state directory."""
        folder = self.state / name
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

    def wait_for_recovery_s(self, fault_at: float) -> float:
        """Waits for the first verdict of another process; returns the time that it took."""
        wait_until(lambda: self.recovered_after_s(fault_at) is not None, 120)
        took_s = self.recovered_after_s(fault_at)
        assert took_s is not None
        return took_s

    def account(self) -> Account:
        """Counts the parts of a stopped line.

        Raises:
            AssertionError: a part has two records, a part in between has none, or an output was
                told a verdict that is not in the record.
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
        known = {record["trigger_id"] for record in records}
        assert {told.part for told in self.verdicts()} <= known, "a part at the PLC has no record"
        lines = [line["trigger_id"] for line in self.json_lines()]
        assert len(lines) == len(set(lines)), "a part has two JSON lines"
        assert set(lines) <= known, "a JSON line has no record"
        taken = {one["trigger_id"] for one in records if _answer(one, "jsonlines")}
        assert taken <= set(lines), "a JSON line is lost"
        return self.count(records)

    def count(self, records: Sequence[Mapping[str, Any]]) -> Account:
        """Compares what the outputs were told with some of the records, and counts them.

        Raises:
            AssertionError: an output was told a verdict that is not in the record.
        """
        by_id = {record["trigger_id"]: record for record in records}
        told = [(one.part, "modbus", one.verdict.value) for one in self.verdicts()]
        told += [(one["trigger_id"], "jsonlines", one["verdict"]) for one in self.json_lines()]
        compared = [one for one in told if one[0] in by_id]
        for part, output, verdict in compared:
            record = by_id[part]
            assert record["cause"] != Cause.INTERRUPTED.value, (
                f"{part}: {output} was told {verdict}"
            )
            expected = _answer(record, output) or record["verdict"]
            assert verdict == expected, f"{part}: {output} was told {verdict}, not {expected}"
        lost = [record for record in records if record["cause"] == Cause.CAMERA.value]
        return Account(
            frames=self.frames() + len(lost),
            records=len(records),
            no_verdicts=sum(one["verdict"] == Verdict.NO_VERDICT.value for one in records),
            compared=len(compared),
        )


@dataclass(frozen=True)
class Account:
    """The parts of a line.

    Attributes:
        frames: triggers: frames that the camera gave, and its losses.
        records: those with a record, one each.
        no_verdicts: number of records without a verdict.
        compared: verdicts at PLC and JSON lines, each of which is that of its record.
    """

    frames: int
    records: int
    no_verdicts: int
    compared: int

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


def _answer(record: Mapping[str, Any], output: str) -> str | None:
    """Returns the verdict that an output took by the record; None where that is not known."""
    told = {one["output"]: one["verdict"] for one in record["told"]}
    return told.get(output)


def _lines(path: Path) -> list[dict[str, Any]]:
    """Returns the complete lines of a file, also while a process writes to it."""
    content = path.read_bytes() if path.exists() else b""
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
