"""Roll bundles out to two devices with the example playbook, good ones and bad ones.

python -m studies.rollout --ansible build/ansible/bin/ansible-playbook --work build/rollout-study \
    --out docs/measured/rollout.md
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml

from edge.sim.parts import drawn_part, write_bundle
from inspection.bundle import open_bundle
from inspection.bundle.bundle import LOCK
from inspection.bundle.manifest import seal_bundle
from inspection.files import write_text
from inspection.golden import write_golden
from inspection.images import encode_png
from inspection.opening import open_engine
from inspection.preprocess import preprocess
from inspection.verdict import Thresholds
from linewarden.parser import Parser
from studies.pages.sections import write_page
from tests.doubles import device as devices
from tests.doubles.device import CONFIG, LINE, STATE, Device
from tests.doubles.nspawn import BARE_PACKAGES, REPOSITORY, bare_root, build_root, suite, why_not

ROLLOUT = REPOSITORY / "configs/rollout"
STORE = f"{STATE}/bundles"
NAME = "simulated"
STATIONS = ("first", "second")
# Two of the eight parts that the simulated camera shows have a defect.
VALUES = {"line": LINE, "watched_parts": 40, "not_passed_max": 0.5, "watched_s": 300}

HEAD = """\
# Rolling bundles out

Made by `make rollout-study` on {date} ({cores} shared CPU cores, load average {load:.0f}).
[configs/rollout/bundle.yaml](../../configs/rollout/bundle.yaml) ran with ansible-core {ansible}
against two `systemd-nspawn` machines ({suite}), each with a running line that install.sh installed,
over ssh (the machines have no network, so that each connection starts OpenSSH's server on its
machine). Two of eight parts have a defect; the playbook watched {parts} parts and accepted
{share:.0%} that did not pass. The bundles are signed, and each machine trusts the key.

| bundle | first station | second station | seen | time |
|---|---|---|---|---|
"""
FOOT = """
"stays": the version in force and the process of the line are those of before. "back": the station
ran the new version, and judges with the one of before.
"""


class Bundles(NamedTuple):
    """Files of signed bundles: the first version, and four that follow it."""

    first: Path
    unsigned: Path
    untrue: Path
    strict: Path
    good: Path


class Case(NamedTuple):
    """One run of the playbook.

    Attributes:
        outcome: of each station: "new", "back" or "stays".
        is_good: whether the playbook succeeds.
        said: words in its output.
    """

    name: str
    bundle: Callable[[Bundles], Path]
    outcome: tuple[str, str]
    is_good: bool
    said: str
    seen: str


CASES = [
    Case(
        "signed by nobody",
        lambda bundles: bundles.unsigned,
        ("stays", "stays"),
        False,
        "not signed",
        "the first station refuses to install it",
    ),
    Case(
        "golden frames with other scores",
        lambda bundles: bundles.untrue,
        ("stays", "stays"),
        False,
        "golden",
        "the first station refuses to make it active; its line was not stopped",
    ),
    Case(
        "thresholds that reject good parts",
        lambda bundles: bundles.strict,
        ("back", "stays"),
        False,
        "parts passed",
        "the first station judged some parts with it, and went back",
    ),
    Case(
        "a good one",
        lambda bundles: bundles.good,
        ("new", "new"),
        True,
        "parts passed",
        "one station after the other",
    ),
    Case(
        "the same once more",
        lambda bundles: bundles.good,
        ("stays", "stays"),
        True,
        "failed=0",
        "nothing changes, and no line is started again",
    ),
]


def main() -> int:
    """Installs two devices, runs all cases, and writes the page."""
    parser = Parser(prog="python -m studies.rollout", description=__doc__)
    parser.add_argument("--ansible", type=Path, required=True, help="ansible-playbook")
    parser.add_argument("--work", type=Path, required=True, help="folder for wheels and bundles")
    parser.add_argument("--out", type=Path, required=True, help="Markdown to write")
    args = parser.parse_args()
    build_root(bare_root(), BARE_PACKAGES)
    if reason := why_not(bare_root()):
        sys.exit(f"cannot run here: {reason}")
    work = args.work.resolve()
    shutil.rmtree(work / "bundles", ignore_errors=True)
    wheels = devices.gather(work / "wheels", lock=work / "lock.txt")
    bundles = make_bundles(work / "bundles")
    key = work / "bundles/ssh"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    with ExitStack() as stack:
        stations = {}
        for name in STATIONS:
            folder = stack.enter_context(tempfile.TemporaryDirectory(dir=bare_root().parent))
            stations[name] = stack.enter_context(devices.device(Path(folder)))
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda one: prepare(one, wheels, bundles.first, key), stations.values()))
        inventory = write_inventory(work, stations, key)
        rows = [row(args.ansible, inventory, case, bundles, stations) for case in CASES]
    write_page(args.out, head(args.ansible) + "".join(rows) + FOOT)
    return 0


def make_bundles(work: Path) -> Bundles:
    """Makes the bundles as .zip files, and the key of the person who signs them.

    A station takes no bundle that was signed before one that it has had: the order is that of
    `CASES`.
    """
    work.mkdir(parents=True)
    _linewarden("bundle", "keygen", str(work / "shop.pem"))
    return Bundles(
        _bundle(work, "first", threshold=0.5),
        _bundle(work, "unsigned", threshold=0.45, is_signed=False),
        _bundle(work, "untrue", threshold=0.5, error=0.2),
        _bundle(work, "strict", threshold=0.1),
        _bundle(work, "good", threshold=0.55),
    )


def prepare(device: Device, wheels: Path, bundle: Path, key: Path) -> None:
    """Installs a device with a line that runs the first version, and lets the playbook in."""
    script = device.carry(wheels)
    device.machine.run(script)
    device.configure(bundle=f"{STORE}/{NAME}/active")
    public = (bundle.parent / "shop.pub").read_text()
    device.machine.write("/etc/linewarden/keys/shop.pub", public)
    shutil.copy(bundle, device.machine.root / "srv/first.zip")
    device.machine.run("chmod", "644", "/srv/first.zip")
    as_line = ("runuser", "--user", "linewarden", "--", "linewarden", "bundle")
    said = device.machine.run(*as_line, "install", "/srv/first.zip").split()
    device.machine.run(*as_line, "activate", NAME, said[1].rstrip(":"))
    device.machine.run(script, "--line", f"{LINE}={CONFIG}", "--restart")
    device.wire()
    device.wait_for_records(5)
    device.machine.write("/root/.ssh/authorized_keys", key.with_suffix(".pub").read_text(), 0o600)


def write_inventory(work: Path, stations: Mapping[str, Device], key: Path) -> Path:
    """Writes the inventory of the example, with the two machines as its hosts."""
    found = yaml.safe_load((ROLLOUT / "stations.yaml").read_text())
    options = f"-i {key} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
    found["stations"]["hosts"] = {
        name: {
            "ansible_host": name,
            "ansible_ssh_common_args": f"{options} -o ProxyCommand="
            f"'nsenter --target {device.machine.leader} --all /usr/sbin/sshd -i'",
        }
        for name, device in stations.items()
    }
    found["stations"]["vars"] |= {"ansible_user": "root", "ansible_become": False} | VALUES
    path = work / "stations.yaml"
    write_text(path, yaml.safe_dump(found, sort_keys=False))
    return path


def row(
    ansible: Path, inventory: Path, case: Case, bundles: Bundles, stations: Mapping[str, Device]
) -> str:
    """Runs the playbook, compares what each station does with the case, and returns a row."""
    path = case.bundle(bundles)
    before = {name: _state(device) for name, device in stations.items()}
    started = time.monotonic()
    done = subprocess.run(
        [ansible, "-i", inventory, ROLLOUT / "bundle.yaml", "-e", f"bundle_file={path}"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCALHOST_WARNING": "0"},
    )  # fmt: skip
    took_s = time.monotonic() - started
    outcome = tuple(_outcome(device, before[name]) for name, device in stations.items())
    said = f"{outcome}, exit code {done.returncode}\n{done.stdout}"
    assert outcome == case.outcome, said
    assert (done.returncode == 0) == case.is_good, said
    assert case.said in done.stdout, said
    for device in stations.values():
        device.wait_for_records(5)
    line = f"| {case.name} | {' | '.join(outcome)} | {case.seen} | {took_s:.0f} s |\n"
    print(line, end="", flush=True)
    return line


def head(ansible: Path) -> str:
    """Returns the head of the page."""
    said = subprocess.run([ansible, "--version"], capture_output=True, text=True, check=True).stdout
    return HEAD.format(
        date=f"{datetime.now(timezone.utc):%Y-%m-%d}",
        cores=os.cpu_count(),
        load=os.getloadavg()[2],
        ansible=re.findall(r"core ([\d.]+)", said)[0],
        suite=suite(),
        parts=VALUES["watched_parts"],
        share=VALUES["not_passed_max"],
    )


class State(NamedTuple):
    """Version of the bundle, and process of the line."""

    version: str
    pid: str


def _state(device: Device) -> State:
    listed = json.loads(device.machine.run("linewarden", "bundle", "list", NAME, "--json"))
    (version,) = [one["version"] for one in listed if one["is_active"]]
    return State(version, device.running()[1])


def _outcome(device: Device, before: State) -> str:
    now = _state(device)
    if now.version != before.version:
        return "new"
    return "stays" if now == before else "back"


def _bundle(
    work: Path, name: str, *, threshold: float, error: float = 0.0, is_signed: bool = True
) -> Path:
    """Makes a bundle with golden frames, whose scores are wrong by `error`, and zips it."""
    folder = work / name
    bundle = write_bundle(folder, channels=3, name=NAME)
    calibration = bundle.calibration("default", "model.onnx")
    golden = []
    with closing(open_engine(bundle)) as engine:
        for number, is_defective in enumerate((False, True)):
            frame = np.repeat(drawn_part(number, is_defective=is_defective)[:, :, None], 3, axis=2)
            frame = np.ascontiguousarray(frame)
            image = preprocess(frame, bundle.manifest.preprocessing)
            got = engine.infer(image[np.newaxis])
            score = float(got.scores[0]) + error
            png = encode_png(frame)
            golden.append(write_golden(folder, f"part-{number}", png, score, got.maps[0]))
    fields = bundle.manifest.model_dump(exclude={"files", "seal", "golden"})
    (folder / "manifest.json").unlink()
    bundle.calibration_path("default").unlink()
    (folder / LOCK).unlink()
    seal_bundle(folder, {**fields, "golden": tuple(golden), "created_utc": _made(threshold)})
    thresholds = Thresholds(threshold, threshold)
    open_bundle(folder).add_calibration(
        calibration.model_copy(update={"thresholds": thresholds, "seal": ""})
    )
    if is_signed:
        _linewarden("bundle", "sign", str(folder), "--key", str(work / "shop.pem"))
    shutil.make_archive(str(folder), "zip", folder)
    return folder.with_suffix(".zip")


def _made(threshold: float) -> str:
    """Returns a time of its own for each bundle, so that their manifests differ."""
    return f"2026-01-01T00:00:{threshold * 100:02.0f}Z"


def _linewarden(*words: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "linewarden", *words], check=True, stdout=subprocess.DEVNULL
    )


if __name__ == "__main__":
    sys.exit(main())
