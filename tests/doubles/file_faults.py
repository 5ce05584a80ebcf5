"""What the device does to a line: a clock that jumps, a log rotation, a disk that overwrites."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.store.damage import damaged_files
from edge.store.database import FILE_NAME
from tests.doubles import shifted_clock
from tests.doubles.damage import INNER, LEAF, overwrite, pages_of
from tests.doubles.faulty import STATE
from tests.doubles.line_machine import CONFIG, UNIT, LineMachine, now
from tests.doubles.nspawn import REPOSITORY, wait_until
from tests.doubles.outcome import PARTS, Outcome, inspecting, stopped

_STORED_PARTS = 60
_ROTATIONS = 6
_YEARS = 365.25

_SHIFT = "clock-shift"
_LIBRARY = "/opt/shifted_clock.so"
# systemd-nspawn has mounted a file there that has no name any more, which takes no further mount.
_BIND_BOOT_ID = """\
id=/proc/sys/kernel/random/boot_id
while umount $id 2>/dev/null; do :; done
mount --bind /srv/boot-id $id
"""
_SYNCHRONIZED = "/run/systemd/timesync/synchronized"


def clock_jumps(*, is_trusted: bool) -> Callable[[LineMachine], Outcome]:
    """Sets the time of day by years, while the line runs and between runs.

    Args:
        is_trusted: a time server is said to keep the time of day right.
    """

    def case(line: LineMachine) -> Outcome:
        ages = "max_age_days: 1, reject_max_age_days: 1"
        line.rewrite("  images: {", f"  max_age_days: 1\n  images: {{{ages}, ")
        shifted_clock.build(line.machine.root / _LIBRARY.lstrip("/"))
        _set_clock(line, years=0)
        clock = f"LD_PRELOAD={_LIBRARY} CLOCK_SHIFT={STATE / _SHIFT}"
        line.override(f"[Service]\nEnvironment={clock}\n")
        if is_trusted:
            line.machine.run("install", "-D", "/dev/null", _SYNCHRONIZED)
        line.start("plc", UNIT)  # without the broker: its verdicts wait
        line.wait_for_verdicts(PARTS)
        _set_clock(line, years=5)
        _wait_for_expiry(line, years=5)
        _restart(line, years=-3)
        _set_clock(line, years=10)
        line.wait_for_verdicts(PARTS, after=now())
        _restart(line, years=12)
        _restart(line, years=0)
        line.stop()
        waiting = line.waiting()
        assert waiting == len(line.records()), "a verdict for the broker expired"
        line.start()
        wait_until(lambda: line.waiting() < PARTS)
        account = stopped(line)
        assert _service_time(line)["is_synchronized"] == is_trusted
        summaries = re.findall(r'"message": "(\d+) parts:', line.machine.journal(UNIT))
        assert sum(map(int, summaries)) == account.records == account.frames
        images = [name for record in line.records() for name in record["images"]]
        missing = [name for name in images if not (line.state / "records/images" / name).exists()]
        assert images
        assert not missing
        years = dict.fromkeys(one["triggered_utc"][:4] for one in line.json_lines())
        seen = (
            f"records of the years {', '.join(years)}: none of them expired (max_age_days: 1), nor "
            f"any of {len(images)} images; {waiting} verdicts waited for the broker, and came"
        )
        return Outcome(None, None, account, seen)

    return case


def logs_rotated(line: LineMachine) -> Outcome:
    """Rotates the JSON lines with the shipped example, while verdicts come."""
    example = REPOSITORY / "systemd/logrotate.d/linewarden"
    line.machine.write("/etc/logrotate.d/linewarden", example.read_text())
    inspecting(line)
    pid = line.pid()
    for _ in range(_ROTATIONS):
        line.machine.run("logrotate", "--force", "/etc/logrotate.d/linewarden")
        line.wait_for_verdicts(PARTS, after=now())
    assert line.pid() == pid
    files = sorted(path.name for path in line.state.glob("parts.jsonl*"))
    assert len(files) == _ROTATIONS + 1
    account = stopped(line)
    assert len(line.json_lines()) == account.records
    seen = (
        f"{_ROTATIONS} rotations with ExecReload= (SIGHUP), the same process: each record has "
        f"its JSON line, once, in {len(files)} files"
    )
    return Outcome(None, None, account, seen)


def damaged_while_running(line: LineMachine) -> Outcome:
    """Overwrites pages of the database that the line has open."""
    inspecting(line)
    line.wait_for_verdicts(_STORED_PARTS)
    pid = line.pid()
    _checkpoint(line.state / "records")
    pages = _overwrite(line.state / "records")
    struck_at = now()
    wait_until(lambda: damaged_files(line.state / "records"))
    replaced_s = now() - struck_at
    line.wait_for_verdicts(PARTS, after=now())
    assert line.pid() == pid
    return _recovered(line, f"{pages}; after {replaced_s:.1f} s set aside by the same process")


def damaged_at_start(line: LineMachine) -> Outcome:
    """Overwrites pages of the database while the line is stopped."""
    inspecting(line)
    line.wait_for_verdicts(_STORED_PARTS)
    line.stop()
    pages = _overwrite(line.state / "records")
    line.start()
    line.wait_for_verdicts(PARTS, after=now())
    assert damaged_files(line.state / "records")
    assert line.machine.show(UNIT, "NRestarts") == "0"
    return _recovered(line, f"{pages}; set aside at the start")


FILE_CASES: dict[str, Callable[[LineMachine], Outcome]] = {
    "clock jumps by years": clock_jumps(is_trusted=False),
    "clock jumps by years, said to be right": clock_jumps(is_trusted=True),
    "log rotation": logs_rotated,
    "database overwritten while it runs": damaged_while_running,
    "database overwritten before the start": damaged_at_start,
}


def _set_clock(line: LineMachine, *, years: float) -> None:
    shifted_clock.shift(line.state / _SHIFT, years * _YEARS)


def _restart(line: LineMachine, *, years: float) -> None:
    """Sets the clock while the line is stopped, as on a device that was off: with a new boot id."""
    line.stop()
    _set_clock(line, years=years)
    line.machine.write("/srv/boot-id", f"{uuid.uuid4()}\n")
    line.machine.run("sh", "-c", _BIND_BOOT_ID)
    line.start("plc", UNIT)
    line.wait_for_verdicts(PARTS, after=now())


def _wait_for_expiry(line: LineMachine, *, years: float) -> None:
    """Waits until the running line has looked for rows that are too old, by the new clock."""
    year = time.gmtime(now() + years * _YEARS * 86_400).tm_year

    wait_until(lambda: int(_service_time(line)["utc"][:4]) == year, 120)
    line.wait_for_verdicts(PARTS, after=now())


def _service_time(line: LineMachine) -> dict[str, Any]:
    """Returns the state of the clocks that the line keeps."""
    state: dict[str, Any] = json.loads((line.state / "records/service-time.json").read_text())
    return state


def _checkpoint(folder: Path) -> None:
    """Brings all rows from the log to the pages of the file."""
    with contextlib.closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _overwrite(folder: Path) -> str:
    """Overwrites the roots of large tables and every third page of rows; returns that in words."""
    path = folder / FILE_NAME
    inner, leaves = pages_of(path, INNER), pages_of(path, LEAF)
    overwrite(path, [*inner, *leaves[::3]])
    return f"{len(inner) + len(leaves[::3])} of {path.stat().st_size // 4096} pages overwritten"


def _recovered(line: LineMachine, seen: str) -> Outcome:
    """Stops the line and recovers what can be read of the damaged database."""
    line.stop()
    journal = line.machine.journal(UNIT)
    assert "a new one is begun" in journal
    kept = line.records()
    target = line.state / "recovered"
    words = line.linewarden("records", "recover", CONFIG, "--to", str(STATE / target.name))
    saved = line.records(target.name)
    both = {one["trigger_id"]: one for one in [*saved, *kept]}
    account = line.count(list(both.values()))
    assert saved
    assert str(len(saved)) in words
    return Outcome(None, None, account, f"{seen}; `records recover` saved {len(saved)} records")
