"""Break a line under systemd in every way of `tests.doubles.reliability`, and write the table.

python -m studies.reliability --out docs/measured/reliability.md [--case NAME ...]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

from linewarden.parser import Parser
from studies.pages.sections import write_page
from tests.doubles.line_machine import RATE_HZ, SILENCE_S, line_machine
from tests.doubles.nspawn import build_root, cached_root, suite, why_not
from tests.doubles.outcome import Outcome
from tests.doubles.reliability import CASES

HEAD = """\
# Reliability under systemd

Made by `make reliability` on {date} ({host}). A line runs as an installed service, with the
settings of [linewarden@.service](../../systemd/linewarden@.service) but for two cases (crash loop:
StartLimitBurst=5; slow start: TimeoutStartSec=5), in a `systemd-nspawn` machine ({suite},
{systemd}): a recording as camera ({rate} parts a second), ONNX Runtime, a PLC by Modbus, a broker
by MQTT, JSON lines, records and images. Each case runs once, in a new machine: the times are single
figures. The faults are in `tests/doubles`: `faulty.py` inside the process, `peer_faults.py` and
`file_faults.py` around it.

- **verdict again**: time from the fault to the next verdict at the PLC; where the line waits for a
  device, from the moment that the device is there; of several kills, the median. "-" where the line
  goes on, or was stopped.
- **safe after**: time from the fault until the PLC no longer considers the station ready: the line
  says so, or the heartbeat stops for {silence:g} s. "-" where the line goes on, or was not ready
  before.
- **parts**: frames and losses of the camera / records in SQLite, exactly one for each trigger /
  records without a verdict / frames that a process lost when it died, before they were triggers;
  where the database was overwritten, rows that cannot be read. A trigger without a verdict at the
  death of its process gets its record at the next start, as NO_VERDICT, interrupted.

In each case every verdict at the PLC and in the JSON lines is compared with the record of the part:
it is the verdict of the record, or the one that the record says that this output was told; none was
told of a part that was interrupted, and no JSON line of a record is missing. Where the database was
overwritten, this holds for the records that can be read.

| case | verdict again | safe after | parts | observed |
|---|---|---|---|---|
"""
FOOT = """
The watchdog ends a process with a hung engine after 10 s; until then its parts get NO_VERDICT at
their deadline. The line notices a hung camera thread after 10 s, and systemd ends the process 10 s
later. Real cameras have shorter limits. A hung output is named after 10 s, and the line goes on
while another output works; where none does, the process ends as with a camera. A restart takes one
second for RestartSec=, about one for `linewarden service safe`, and the start of Python and the
engine.

The latency beside outputs that nobody polls: [performance.md](performance.md#beside-dead-outputs).

Clock: a container cannot set the clock of its host. A library in front of the C library shifts the
time of day of the service, so that Python, SQLite and the log see each step at once; the clocks
that count, and the time stamps of files, stay the kernel's. The steps: 5 years ahead while the line
runs; 3 years behind before a start; 10 years ahead while it runs; 12 years ahead before a start;
right again before a start. Before each of these starts the boot id changes, as on a device that was
off. "Said to be right" is the flag file of systemd-timesyncd, in place of a time server. This shows
what a line does with such clocks, and tries neither a clock chip nor a time server. The waits of
7 days are in `tests/unit/edge/store/test_service_time.py`, with clocks that the test moves.

Database: random bytes over the roots of the large tables and every third page of rows, in the file
that the line has open, or finds at its start. "Saved" counts what `linewarden records recover` made
of the file that the line had set aside; the later records are in the new database.

Not in this table: a power cut, a lost GPU, a real camera.
"""


def main() -> int:
    """Runs the cases, and writes the page."""
    parser = Parser(
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
    write_page(args.out, head + "\n".join(rows) + "\n" + FOOT)
    return 0


def row(name: str, outcome: Outcome) -> str:
    """Returns one line of the table."""
    account = outcome.account
    parts = f"{account.frames} / {account.records} / {account.no_verdicts} / {account.in_hand}"
    times = [_seconds(outcome.recovered_s), _seconds(outcome.safe_s)]
    return f"| {name} | {' | '.join(times)} | {parts} | {outcome.seen} |"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


if __name__ == "__main__":
    sys.exit(main())
