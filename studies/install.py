"""Install, break, upgrade and remove Linewarden on a bare Debian, and write the page.

python -m studies.install --work build/install-study --out docs/measured/install.md
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

from linewarden.parser import Parser
from studies.installation.steps import STEPS, Step
from studies.installation.wheels import Wheels, gathered
from studies.pages.sections import write_page
from tests.doubles import device as devices
from tests.doubles.device import Device
from tests.doubles.nspawn import (
    BARE_PACKAGES,
    bare_root,
    build_root,
    suite,
    why_not,
)

HEAD = """\
# Installing on a bare Debian

Made by `make install-study` on {date} ({cores} shared CPU cores, load average {load:.0f}). A
`systemd-nspawn` machine ({suite}, {systemd}) has Debian's minimal system
with `{packages}`, no network but its
own loopback, and a folder of wheels that somebody carried there. The line runs under systemd with a
simulated network camera (MJPEG, two of eight parts have a defect) and a simulated PLC (Modbus TCP),
which announces a part at most five times a second and acknowledges each verdict. Both are services
of the same machine, from an environment of their own. One run, in this order; each time is a single
figure, on a machine with other work.

| step | seen | time |
|---|---|---|
"""
FOOT = """
"The line goes on" means: the same process id before and after, and records of parts that came in
between.

Not shown here: a Jetson, an NVIDIA card, a real camera, Ubuntu, and udev, because a container
receives no devices.
The machine has no PyTorch: `tests/system/test_service.py` teaches
a model in the same sandbox of jobs.
"""


def main() -> int:
    """Does all steps on one device, and writes the page."""
    parser = Parser(prog="python -m studies.install", description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for the wheels")
    parser.add_argument("--out", type=Path, required=True, help="Markdown to write")
    args = parser.parse_args()
    build_root(bare_root(), BARE_PACKAGES)
    if reason := why_not(bare_root()):
        sys.exit(f"cannot run here: {reason}")
    wheels = gathered(args.work)
    with (
        tempfile.TemporaryDirectory(dir=bare_root().parent) as folder,
        devices.device(Path(folder)) as device,
    ):
        systemd = device.machine.run("systemctl", "--version").splitlines()[0]
        rows = [_row(step, device, wheels) for step in STEPS]
    head = HEAD.format(
        date=f"{datetime.now(timezone.utc):%Y-%m-%d}",
        cores=os.cpu_count(),
        load=os.getloadavg()[2],
        suite=suite(),
        systemd=systemd,
        packages=BARE_PACKAGES.replace(",", " "),
    )
    write_page(args.out, head + "".join(rows) + FOOT)
    return 0


def _row(step: Step, device: Device, wheels: Wheels) -> str:
    started = time.monotonic()
    seen = step.act(device, wheels)
    row = f"| {step.name} | {seen} | {time.monotonic() - started:.0f} s |\n"
    print(row, end="", flush=True)
    return row


if __name__ == "__main__":
    sys.exit(main())
