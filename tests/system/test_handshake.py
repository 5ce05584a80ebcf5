"""The example of a PLC's program against the station, by each protocol, with kills of both."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("snap7")

from tests.doubles import handshake_account
from tests.doubles.handshake_line import SETTINGS


@pytest.mark.parametrize("kind", list(SETTINGS))
def test_each_part_has_the_verdict_of_its_own_record(kind: str, tmp_path: Path) -> None:
    """`make plc-study` runs as many as 10 000."""
    account = handshake_account.run(kind, tmp_path, parts=150, kills=1, limit_s=120.0)
    assert account.parts == 150
    assert account.kills == (1, 1)
    assert account.judged >= 140  # the others were in hand at a kill, and while both came back
