"""The installed service under systemd in a machine; `make reliability` runs all cases."""

from pathlib import Path

import pytest

from tests.doubles import nspawn

if reason := nspawn.why_not():
    pytest.skip(reason, allow_module_level=True)

from tests.doubles.line_machine import UNIT, line_machine
from tests.doubles.reliability import CASES

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("case", ["kill -9", "exception in output", "SIGTERM during an inspection"])
def test_every_part_is_accounted_for(case: str, tmp_path: Path) -> None:
    with line_machine(tmp_path) as line:
        outcome = CASES[case](line)
        assert outcome.account.records >= 8
        assert outcome.safe_s is not None
        assert outcome.safe_s < 5
        assert "SECCOMP" not in line.machine.journal(UNIT)


@pytest.mark.parametrize(
    "case",
    [
        "dead output beside others",
        "1100 silent connections",
        "log rotation",
        "database overwritten while it runs",
    ],
)
def test_the_line_goes_on(case: str, tmp_path: Path) -> None:
    """The case itself holds each verdict against its record."""
    with line_machine(tmp_path) as line:
        outcome = CASES[case](line)
        assert outcome.safe_s is None
        assert outcome.account.compared >= 8
        assert "SECCOMP" not in line.machine.journal(UNIT)
