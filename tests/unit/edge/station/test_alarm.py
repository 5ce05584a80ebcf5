"""Alarms after parts that did not pass."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge.part.record import InspectionRecord
from edge.station.alarm import AlarmConfig, RejectAlarm, RejectMonitor, log_alarm
from inspection.verdict import Verdict

MakeRecord = Callable[..., InspectionRecord]
LETTERS = {
    "p": Verdict.PASS,
    "r": Verdict.REJECT,
    "v": Verdict.REVIEW,
    "n": Verdict.NO_VERDICT,
}


def changes(
    make_record: MakeRecord, verdicts: str, config: AlarmConfig
) -> list[tuple[str, bool, int]]:
    """Kind, whether raised, and the part of each change."""
    told: list[RejectAlarm] = []
    alarm = RejectMonitor(config, told.append)
    for number, letter in enumerate(verdicts):
        record = make_record(1, LETTERS[letter])
        alarm.add(record.model_copy(update={"trigger_id": str(number)}))
    standing = {
        change.kind for change in told if change.is_raised and alarm.raised.get(change.kind)
    }
    assert standing == set(alarm.raised)
    return [(change.kind, change.is_raised, int(change.trigger_id)) for change in told]


def test_some_in_a_row(make_record: MakeRecord) -> None:
    config = AlarmConfig(in_a_row=3)
    assert changes(make_record, "rrprrp", config) == []
    assert changes(make_record, "prvnrrpp", config) == [
        ("in_a_row", True, 3),
        ("in_a_row", False, 6),
    ]


def test_a_share_of_the_last_parts(make_record: MakeRecord) -> None:
    config = AlarmConfig(share=0.5, window_parts=4)
    assert changes(make_record, "rrr", config) == []  # too few to tell
    assert changes(make_record, "rrpp", config) == []  # not more than a half
    found = changes(make_record, "prrrppp", config)
    assert found == [("share", True, 3), ("share", False, 5)]


@given(st.text("prvn", max_size=60), st.integers(1, 5), st.floats(0.05, 0.95), st.integers(2, 9))
def test_an_alarm_stands_exactly_while_its_rule_holds(
    verdicts: str, row: int, share: float, window: int
) -> None:
    told: list[RejectAlarm] = []
    alarm = RejectMonitor(AlarmConfig(in_a_row=row, share=share, window_parts=window), told.append)
    values: dict[str, Any] = {"trigger_id": "1", "verdict": Verdict.PASS}
    record = InspectionRecord.model_construct(**values)
    for end in range(1, len(verdicts) + 1):
        alarm.add(record.model_copy(update={"verdict": LETTERS[verdicts[end - 1]]}))
        past = verdicts[:end]
        in_a_row = len(past) - len(past.rstrip("rvn")) >= row
        last = past[-window:]
        too_many = len(last) == window and len(last.replace("p", "")) > share * window
        assert set(alarm.raised) == {
            kind for kind, holds in (("in_a_row", in_a_row), ("share", too_many)) if holds
        }
    assert [a.is_raised for a in told if a.kind == "share"] == [
        number % 2 == 0 for number in range(sum(a.kind == "share" for a in told))
    ]


def test_the_log_tells_the_beginning_and_the_end(
    make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    alarm = RejectMonitor(AlarmConfig(in_a_row=1), log_alarm)
    alarm.add(make_record(1))
    alarm.add(make_record(2, Verdict.PASS))
    assert [record.message for record in caplog.records] == [
        "alarm: 1 parts in a row did not pass",
        "alarm over: a part passed again",
    ]


def test_an_alarm_needs_a_rule() -> None:
    with pytest.raises(ValidationError, match="should have 'in_a_row' or 'share'"):
        AlarmConfig()
