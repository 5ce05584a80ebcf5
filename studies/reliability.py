"""Break a line under systemd in every way of `tests.doubles.reliability`; write the table.

python -m studies.reliability --out docs/measured/reliability.md [--case NAME ...]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

from inspection.files import write_text
from tests.doubles.line_machine import RATE_HZ, SILENCE_S, line_machine
from tests.doubles.nspawn import build_root, cached_root, suite, why_not
from tests.doubles.reliability import CASES, Outcome

HEAD = """\
# Reliability under systemd

Made by `make reliability` on {date} ({host}). A line runs as an installed service, with the
settings of [linewarden@.service](../../systemd/linewarden@.service) as they are shipped but for two
cases (crash loop: StartLimitBurst=5; slow start: TimeoutStartSec=5), in a `systemd-nspawn` machine
of its own ({suite}, {systemd}): a recording as camera ({rate} parts a second),
ONNX Runtime, a PLC by Modbus, a broker by MQTT, JSON lines, records and images. Each case
starts a new machine, once: the times are single figures. Faults inside the process come from
`tests/doubles/faulty.py` around the command.

- **verdict again**: from the fault to the next verdict that the PLC was told. Where the line waits
  for something, from the moment that it is there.
- **safe after**: from the fault until the PLC no longer takes the station for a ready one: it was
  told so, or the heartbeat stood still for {silence:g} s. No part got a PASS that its record does
  not say. "-" where the line goes on, or was not ready before.
- **parts**: frames that the camera gave, and its losses / records in SQLite, one for each trigger
  and no more / of these without a verdict / frames that a process died with before they were
  triggers. A part that was in a process when it died has its record from the next start, as
  NO_VERDICT, interrupted, unless its verdict had fallen.

| case | verdict again | safe after | parts | what was seen |
|---|---|---|---|---|
"""
FOOT = """
An engine that hangs is ended by the watchdog after 10 s; until then its parts get NO_VERDICT at
their deadline. A camera thread or an output that hangs is found after 10 s in which it did not go
round, and systemd ends the process 10 s later. Real cameras and outputs have shorter limits of
their own. A restart is one second of RestartSec=, about one of `linewarden service safe`, and the
start of Python and the engine.

Not in this table: a power cut, a GPU that is lost, a real camera.
"""


def main() -> int:
    """Run the cases; 1 when one did not end as it should."""
    parser = argparse.ArgumentParser(
        prog="python -m studies.reliability",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="Markdown to write")
    parser.add_argument(
        "--case",
        nargs="+",
        metavar="NAME",
        choices=list(CASES),
        default=list(CASES),
        help=f"the cases to run (default: all): {', '.join(CASES)}",
    )
    args = parser.parse_args()
    build_root()
    if reason := why_not():
        sys.exit(f"cannot run here: {reason}")
    rows, systemd = [], ""
    for name in args.case:
        with (
            tempfile.TemporaryDirectory(dir=cached_root().parent) as folder,
            line_machine(Path(folder)) as line,
        ):
            systemd = systemd or line.machine.run("systemctl", "--version").splitlines()[0]
            rows.append(row(name, CASES[name](line)))
        print(rows[-1], flush=True)
    head = HEAD.format(
        date=f"{datetime.now(timezone.utc):%Y-%m-%d}",
        host=f"{os.cpu_count()} shared CPU cores, load average {os.getloadavg()[2]:.0f}",
        suite=suite(),
        systemd=systemd,
        rate=RATE_HZ,
        silence=SILENCE_S,
    )
    write_text(args.out, head + "\n".join(rows) + "\n" + FOOT)
    return 0


def row(name: str, outcome: Outcome) -> str:
    """One line of the table."""
    account = outcome.account
    parts = f"{account.frames} / {account.records} / {account.no_verdicts} / {account.in_hand}"
    times = [_seconds(outcome.recovered_s), _seconds(outcome.safe_s)]
    return f"| {name} | {' | '.join(times)} | {parts} | {outcome.seen} |"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


if __name__ == "__main__":
    sys.exit(main())
