"""A device with nothing but Debian and Python, on which install.sh installs a line.

Camera and PLC are simulated by services of the device itself, with the installed program.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from edge.line.block import BLOCK_WORDS
from edge.sim.base import Seen
from edge.sim.counting import seen_from_words
from edge.sim.parts import write_bundle
from edge.store.database import FILE_NAME
from edge.store.reader import Filter, RecordReader
from inspection.verdict import Verdict
from tests.doubles import panel_visit
from tests.doubles.nspawn import REPOSITORY, Machine, bare, bare_root, wait_until

LINE = "press3"
UNIT = f"linewarden@{LINE}.service"
PANEL = "linewarden-panel.service"
PANEL_USER = "linewarden-panel"
LIVE = "/opt/linewarden"
VERSIONS = "/opt/linewarden-versions"
CONFIG = f"/srv/linewarden/{LINE}.yaml"
STATE = "/var/lib/linewarden"
BUNDLE = "/srv/linewarden/bundle"
HEALTH_PORT, PANEL_PORT, PLC_PORT, CAMERA_PORT = 9540, 9600, 1502, 8080
EXTRAS = ("onnxruntime", "calibration", "health", "modbus", "signing", "panel", "pyav")
_PLATFORMS = ("manylinux_2_34_x86_64", "manylinux_2_28_x86_64", "manylinux_2_17_x86_64")

# The limits are far above what an idle device needs: the machine shares its cores.
LINE_CONFIG = f"""\
schema_version: 1
bundle: {{bundle}}
camera: {{{{kind: pyav, url: "http://127.0.0.1:{CAMERA_PORT}/video", stale_ms: 4000}}}}
trigger: {{{{kind: modbus, host: 127.0.0.1, port: {PLC_PORT}, address: 30}}}}
deadline_ms: 5000
outputs:
  - {{{{kind: jsonlines, path: {STATE}/parts.jsonl}}}}
  - {{{{kind: modbus, host: 127.0.0.1, port: {PLC_PORT}, register_address: 0,
      acknowledge_register: 20}}}}
records:
  folder: {STATE}/records
  images: {{{{max_bytes: 10000000, min_free_bytes: 0}}}}
health: {{{{port: {HEALTH_PORT}}}}}
control_socket: /run/linewarden/{LINE}/line.sock
"""
_PASSWORD = "only for the study"  # noqa: S105 - of an account in a machine that vanishes
# The simulated machines belong to the plant: they use no installed version but this copy.
PLANT = "/opt/plant"
_SIMULATION = """\
[Service]
ExecStart={plant}/bin/{words}
[Install]
WantedBy=multi-user.target
"""
_PLC = f"""\
import json, time
from edge.line.handshake import Bits
from edge.sim.plc import Plc, Registers
plc = Plc({PLC_PORT}, Registers(block=0, acknowledge=20, trigger=30))
while True:
    if Bits.READY in plc.shown_bits():
        plc.announce()
    time.sleep(0.2)
    with open("/srv/plc.jsonl", "a") as memory:
        while plc.seen:
            memory.write(json.dumps(plc.seen.pop(0)._asdict()) + "\\n")
"""
_READ_PLC = """\
import json, sys, time
from pymodbus.client import ModbusTcpClient
plc = ModbusTcpClient("127.0.0.1", port=int(sys.argv[1]))
plc.connect()
seen, ends = {}, time.monotonic() + float(sys.argv[2])
while time.monotonic() < ends:
    words = plc.read_holding_registers(0, count=int(sys.argv[3])).registers
    if words[0] & 4:
        seen[words[1]] = words
    time.sleep(0.02)
print(json.dumps(list(seen.values())))
"""
_GET = """\
import sys, urllib.error, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())
except urllib.error.HTTPError as error:
    sys.exit(f"{error.code}: {error.read().decode()}")
"""


class Device:
    """A booted device. `machine` is the machine itself."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.state = machine.root / STATE.lstrip("/")

    # --- what a person brings to the device

    def carry(self, wheels: Path) -> str:
        """Copies a folder of wheels to the device, and returns its install.sh there."""
        shutil.copytree(wheels, self.machine.root / "srv/wheels" / wheels.name, dirs_exist_ok=True)
        return f"/srv/wheels/{wheels.name}/install.sh"

    def configure(self, bundle: str = "bundle") -> None:
        """Writes the configuration of the line, and a bundle beside it."""
        write_bundle(self.machine.root / BUNDLE.lstrip("/"), channels=3)
        self.machine.write(CONFIG, LINE_CONFIG.format(bundle=bundle))

    def wire(self) -> None:
        """Starts the simulated PLC and camera, as services that start with the device."""
        self.machine.run("cp", "--recursive", self.installed(), PLANT)
        simulated = {
            "plc": f"python {PLANT}/plc.py",
            "camera": f"python -m linewarden simulate camera --port {CAMERA_PORT} --json "
            "--period-s 0.05",  # several frames for each part
        }
        self.machine.write(f"{PLANT}/plc.py", _PLC)
        for name, words in simulated.items():
            unit = _SIMULATION.format(plant=PLANT, words=words)
            self.machine.write(f"/etc/systemd/system/simulated-{name}.service", unit)
        self.machine.run("systemctl", "daemon-reload")
        self.machine.run("systemctl", "enable", "--now", *(f"simulated-{one}" for one in simulated))

    # --- what is on the device

    def installed(self) -> str:
        """Returns the folder of the version that the link names."""
        return self.machine.run("readlink", LIVE, check=False).strip()

    def version(self) -> str:
        """Returns what the command says of its version."""
        return self.machine.run("linewarden", "--version").split()[-1]

    def running(self, unit: str = UNIT) -> tuple[str, str]:
        """Returns the folder of the version that a service runs, and its process id."""
        pid = self.machine.show(unit, "MainPID")
        words = self.machine.run("cat", f"/proc/{pid}/cmdline").split("\0")
        return words[0].removesuffix("/bin/python").removesuffix("/bin/python3"), pid

    def files(self, *below: str) -> set[str]:
        """Returns the paths below some folders, without those of the simulated plant."""
        found = self.machine.run("find", *below, "-xdev", check=False).splitlines()
        hidden = ("__pycache__", PLANT)
        return {path for path in found if not any(word in path for word in hidden)}

    def records(self) -> dict[str, dict[str, Any]]:
        """Returns the records, by trigger id."""
        folder = self.state / "records"
        if not (folder / FILE_NAME).exists():
            return {}
        with RecordReader(folder) as reader:
            found = [one.record.model_dump(mode="json") for one in reader.find(Filter())]
        return {record["trigger_id"]: record for record in found}

    def wait_for_records(self, more: int, limit_s: float = 120.0) -> None:
        """Waits for so many new records."""
        until = len(self.records()) + more
        wait_until(lambda: len(self.records()) >= until, limit_s)

    def goes_on(self, before: tuple[str, str]) -> None:
        """Waits for new records, of the process of the line that ran before."""
        self.wait_for_records(5)
        assert self.running() == before

    # --- who asks the device

    def get(self, url: str) -> str:
        """Returns a page of the device."""
        return self.machine.run("python3", "-c", _GET, url)

    def visit(self, script: ModuleType, *words: str) -> str:
        """Runs a script of a person at the panel, who is a stranger to the installed program."""
        folder = "/srv/visitor"
        for module in (panel_visit, script):
            source = Path(module.__file__ or "")
            self.machine.write(f"{folder}/{source.relative_to(REPOSITORY)}", source.read_text())
        person = ("env", f"PYTHONPATH={folder}", "python3", "-m", script.__name__)
        return self.machine.run(*person, f"http://127.0.0.1:{PANEL_PORT}", _PASSWORD, LINE, *words)

    def metrics(self) -> str:
        """Returns the figures of the line for Prometheus."""
        return self.get(f"http://127.0.0.1:{HEALTH_PORT}/metrics")

    def taken(self) -> dict[str, str]:
        """Returns the verdict of each part that the PLC's program took, by trigger id."""
        memory = self.machine.root / "srv/plc.jsonl"
        lines = memory.read_text() if memory.exists() else ""
        entries = [json.loads(line) for line in lines[: lines.rfind("\n") + 1].splitlines()]
        found = {one["trigger_id"]: _verdict(Seen(**one)) for one in entries}
        assert len(found) == len(entries), "the PLC took a part twice"
        return found

    def shown(self, seconds: float) -> dict[str, str]:
        """Returns the verdicts that another client sees in the PLC's registers meanwhile.

        It misses some: the station shows a verdict until the PLC has acknowledged it.
        """
        words = (str(PLC_PORT), str(seconds), str(BLOCK_WORDS))
        said = self.machine.run(f"{PLANT}/bin/python", "-c", _READ_PLC, *words)
        found = [seen_from_words(block) for block in json.loads(said)]
        return {seen.trigger_id or "": _verdict(seen) for seen in found}


def _verdict(seen: Seen) -> str:
    judged = Verdict.PASS if seen.is_pass else Verdict.REJECT
    return (judged if seen.is_pass or seen.is_reject else Verdict.NO_VERDICT).value


@contextlib.contextmanager
def device(folder: Path) -> Iterator[Device]:
    """Boots a device with nothing installed."""
    with bare(folder) as machine:
        yield Device(machine)


def python_of_the_root() -> str:
    """Returns the version of Debian's Python, such as 3.11."""
    (found,) = bare_root().glob("usr/bin/python3.[0-9]*")
    return found.name.removeprefix("python")


def gather(folder: Path, source: Path = REPOSITORY, lock: Path | None = None) -> Path:
    """Gathers the wheels for the device, as `make wheelhouse` does."""
    shutil.rmtree(folder, ignore_errors=True)
    locked = ["--lock", str(lock)] if lock and lock.exists() else []
    locked += ["--write-lock", str(lock)] if lock and not locked else []
    command = [sys.executable, "-m", "linewarden", "service", "wheelhouse"]
    words: Sequence[str] = ("--python", python_of_the_root(), "--extras", *EXTRAS, *locked)
    subprocess.run(
        [*command, str(folder), "--source", str(source), *words, "--platform", *_PLATFORMS],
        check=True, cwd=REPOSITORY, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return folder
