"""Send parts through each protocol of a PLC, kill either side, and write what became of them.

python -m studies.controllers --out docs/measured/plc.md [--parts N] [--kills N]
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
from tests.doubles import handshake_account
from tests.doubles.handshake_line import DEADLINE_MS, PART_TIME_MS, SETTINGS, TIMEOUT_MS

HEAD = """\
# PLC: one verdict for each part, by every protocol

Made by `make plc-study` on {date} ({cores} cores, shared with other work). Two processes on one
machine: a station with its pipeline and its records, and a PLC that runs the example
[linewarden.st](../examples/plc/linewarden.st) in a cycle of about a millisecond. The PLC triggers
each part and names it, waits for its verdict, acknowledges it and sends the next. Either process is
killed (SIGKILL) at {kills} random moments and started again at once; a PLC that comes back has lost
its memory.

The controllers are simulators: pymodbus, the server of python-snap7, and a Logix controller in
`edge/sim/logix.py`, with which pylogix agrees. The inspection is a fake that takes no time:
these figures are those of the handshake.

- **judged**: parts that the PLC took as passed or rejected. For each of them the record that the
  trigger id names has the same part id and the same verdict; the run ends otherwise.
- **without**: parts that the PLC got no verdict for, and rejects: the station or the PLC died with
  the part in hand, or the station was told NO_VERDICT. After a kill of the PLC the part in hand is
  not in its notes at all.
- **records**: of the station, one for each trigger; no part has two.
- **next part after**: from one answer to the next: median, and the worst of a hundred.

| protocol | parts | judged | without | records | kills: station, PLC | next part after |
|---|---|---|---|---|---|---|
"""
FOOT = """
The deadline of a part was {deadline:g} ms, the limit of a call {timeout:g} ms, and the PLC waited
{part:g} ms for a verdict. A short run of the same is in `tests/system/test_handshake.py`.
"""


def main() -> int:
    """Runs the protocols one after the other, and writes the page."""
    parser = Parser(prog="python -m studies.controllers", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--kind", nargs="*", choices=sorted(SETTINGS), default=list(SETTINGS))
    args = parser.parse_args()
    rows = [_row(args, kind) for kind in args.kind]
    head = HEAD.format(
        date=datetime.now(timezone.utc).date(), cores=os.cpu_count(), kills=args.kills
    )
    foot = FOOT.format(deadline=DEADLINE_MS, timeout=TIMEOUT_MS, part=PART_TIME_MS)
    write_page(args.out, head + "".join(rows) + foot)
    return 0


def _row(args: argparse.Namespace, kind: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        account = handshake_account.run(
            kind, Path(folder), parts=args.parts, kills=args.kills, limit_s=3600.0
        )
    median, worst = account.cycle_ms
    cells = (
        *(f"`{kind}`", account.parts, account.judged, account.without, account.records),
        *(f"{account.kills[0]}, {account.kills[1]}", f"{median:.1f} ms, {worst:.1f} ms"),
    )
    return f"| {' | '.join(map(str, cells))} |\n"


if __name__ == "__main__":
    sys.exit(main())
