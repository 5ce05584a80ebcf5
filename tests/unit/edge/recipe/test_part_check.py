"""READY is withheld until golden and limit part are judged rightly, in their order."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edge.part.record import InspectionRecord
from edge.recipe.part_check import ChecksConfig, PartCheck
from inspection.config.loading import load_config
from inspection.errors import ConfigError
from inspection.verdict import Verdict

MakeRecord = Callable[..., InspectionRecord]
Show = Callable[[PartCheck, Verdict, float], None]
GOLDEN, LIMIT = (Verdict.PASS, 1.2), (Verdict.REJECT, 3.0)
HOUR_NS = 3_600_000_000_000


def config(**changes: object) -> ChecksConfig:
    parts = [{"name": "golden 12", "expect": "PASS"}, {"name": "limit 3", "expect": "REJECT"}]
    return ChecksConfig.model_validate({"parts": parts, **changes})


class Clock:
    now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def show(make_record: MakeRecord) -> Show:
    def shown(check: PartCheck, verdict: Verdict, score: float) -> None:
        check.take(make_record(1, verdict).model_copy(update={"score": score}))

    return shown


def test_the_line_is_ready_once_both_parts_are_right(show: Show) -> None:
    check = PartCheck(config(), {"main": [1.0, 2.0]})
    assert check.blocked() == "the check at the start is due: show golden 12"
    show(check, *GOLDEN)
    assert check.blocked() == "golden 12 is right: show limit 3"
    show(check, *LIMIT)
    assert check.blocked() is None
    assert (check.passed, check.failed) == (1, 0)


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        ([(Verdict.REJECT, 3.0)], "golden 12 got REJECT instead of PASS"),
        ([(Verdict.REVIEW, 2.2)], "golden 12 got REVIEW instead of PASS"),
        ([(Verdict.PASS, 0.9)], "golden 12 has the score 0.9, outside 1 to inf"),
        ([(Verdict.PASS, 0.99999)], "golden 12 has the score 0.99999, outside 1 to inf"),
        ([GOLDEN, (Verdict.PASS, 1.9)], "limit 3 got PASS instead of REJECT"),
    ],
)
def test_a_wrong_part_starts_the_check_again(
    show: Show, shown: list[tuple[Verdict, float]], why: str
) -> None:
    check = PartCheck(config(), {"main": [1.0, 2.0]})
    for one in shown:
        show(check, *one)
    assert check.blocked() == f"{why}: show golden 12"
    assert (check.passed, check.failed) == (0, 1)
    show(check, *GOLDEN)
    show(check, *LIMIT)
    assert check.blocked() is None


def test_a_part_without_verdict_is_shown_again(make_record: MakeRecord, show: Show) -> None:
    check = PartCheck(config(), {"main": [1.0, 2.0]})
    show(check, *GOLDEN)
    nothing = {"verdict": Verdict.NO_VERDICT, "score": None, "message": "no frame"}
    check.take(make_record(1).model_copy(update=nothing))
    assert check.blocked() == "limit 3 got no verdict (no frame): show limit 3"
    show(check, *LIMIT)
    assert check.blocked() is None


def test_a_band_of_scores_of_ones_own(show: Show) -> None:
    parts = [{"name": "golden", "expect": "PASS", "score": [1.1, 1.3]}]
    for score, is_right in ((1.1, True), (1.3, True), (1.09, False), (1.31, False)):
        check = PartCheck(config(parts=parts), {"main": [0.0, 2.0]})
        show(check, Verdict.PASS, score)
        assert (check.blocked() is None) == is_right


def test_parts_of_production_are_no_check(show: Show) -> None:
    check = PartCheck(config(at_start=False), {"main": [1.0]})
    show(check, *LIMIT)
    assert check.blocked() is None
    assert (check.passed, check.failed) == (0, 0)


def test_a_check_can_be_asked_for(show: Show) -> None:
    check = PartCheck(config(at_start=False), {"main": [1.0]})
    check.begin()
    assert check.blocked() == "the check that was asked for is due: show golden 12"
    show(check, *GOLDEN)
    check.begin()
    assert check.blocked() == "the check that was asked for is due: show golden 12"


def test_a_check_is_due_again_after_its_hours(show: Show) -> None:
    clock = Clock()
    check = PartCheck(config(every_h=8), {"main": [1.0]}, clock)
    show(check, *GOLDEN)
    clock.now_ns = HOUR_NS
    show(check, *LIMIT)
    clock.now_ns = 9 * HOUR_NS - 1
    assert check.blocked() is None
    clock.now_ns = 9 * HOUR_NS
    assert check.blocked() == "the check every 8 h is due: show golden 12"


def test_a_check_goes_on_when_its_recipe_is_loaded_again(show: Show) -> None:
    clock = Clock()
    before = PartCheck(config(at_start=False, every_h=8), {"main": [1.0]}, clock)
    clock.now_ns = 8 * HOUR_NS
    show(before, *GOLDEN)
    show(before, Verdict.PASS, 1.2)
    after = PartCheck(config(at_start=False, every_h=8), {"main": [1.0]}, clock)
    assert after.blocked() is None
    after.continue_from(before)
    assert after.blocked() == "limit 3 got PASS instead of REJECT: show golden 12"
    show(after, *GOLDEN)
    show(after, *LIMIT)
    assert (after.blocked(), after.passed, after.failed) == (None, 1, 1)

    clock.now_ns = 15 * HOUR_NS
    last = PartCheck(config(at_start=False, every_h=8), {"main": [1.0]}, clock)
    last.continue_from(after)
    assert last.blocked() is None
    clock.now_ns = 16 * HOUR_NS
    assert last.blocked() == "the check every 8 h is due: show golden 12"


def test_the_check_at_the_start_of_a_recipe_stays_that(show: Show) -> None:
    before = PartCheck(config(), {"main": [1.0]})
    show(before, *GOLDEN)
    show(before, *LIMIT)
    after = PartCheck(config(), {"main": [1.0]})
    after.continue_from(before)
    assert after.blocked() == "the check at the start is due: show golden 12"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("parts: []", "parts"),
        ("parts: [{name: a, expect: NO_VERDICT}]", "expect"),
        ("parts: [{name: a, expect: PASS, score: [2, 1]}]", "lowest, highest"),
        ("parts: [{name: a, expect: PASS}]\nevery_h: 0", "every_h"),
    ],
)
def test_bad_checks_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "checks.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(tmp_path / "checks.yaml", ChecksConfig)
