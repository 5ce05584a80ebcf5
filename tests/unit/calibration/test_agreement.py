"""Acceptance study: published kappas, limits, coverage of intervals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t
from sklearn.metrics import cohen_kappa_score

from calibration.agreement import FALSE_ALARM_RATE, MISS_RATE, Grade, agreement
from inspection.errors import ConfigError


def study(*groups: tuple[int, bool, tuple[bool, ...]]) -> tuple[list[bool], list[list[bool]]]:
    """Labels and verdicts from groups of (number of parts, defective, verdicts)."""
    labels = [defective for count, defective, _ in groups for _ in range(count)]
    return labels, [list(verdicts) for count, _, verdicts in groups for _ in range(count)]


NO, YES = (False,) * 3, (True,) * 3


def test_kappa_of_the_example_of_the_manual() -> None:
    """AIAG MSA 4th edition, appraiser A against the reference: 45, 5, 3, 97 of 150; kappa 0.88."""
    found = agreement(
        *study((45, True, (True,)), (3, True, (False,)), (5, False, (True,)), (97, False, (False,)))
    )
    assert found.kappa.value == pytest.approx(0.88, abs=0.005)
    assert found.miss_rate == pytest.approx(3 / 48)
    assert found.false_alarm_rate == pytest.approx(5 / 102)
    assert found.kappa_repeat.value is None
    # Fleiss, Cohen and Everitt 1969: the standard error of this table is 0.0411.
    assert found.kappa.lower is not None
    assert found.kappa.value is not None
    assert found.kappa.value - found.kappa.lower == pytest.approx(1.976 * 0.0411, abs=0.004)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=30))
def test_kappa_is_that_of_scikit_learn(pairs: list[tuple[bool, bool]]) -> None:
    pairs = [*pairs, (True, True), (False, False)]
    found = agreement([label for label, _ in pairs], [[verdict] for _, verdict in pairs])
    expected = cohen_kappa_score(*zip(*pairs, strict=True))
    assert found.kappa.value == pytest.approx(expected)


def test_kappa_between_showings_by_hand() -> None:
    """Pairs that agree: 1, 1, 1/3, 1 of 4 parts; rejected 4 of 12: (10/12 - 5/9) / (4/9)."""
    mixed = (True, False, False)
    found = agreement(*study((1, True, YES), (1, False, mixed), (2, False, NO)))
    assert found.kappa_repeat.value == pytest.approx((10 / 12 - 5 / 9) / (4 / 9))
    assert found.repeated.count == 3


def test_a_part_counts_when_any_of_its_showings_is_wrong() -> None:
    mixed = (True, False, True)
    found = agreement(*study((9, True, YES), (1, True, mixed), (7, False, NO), (2, False, mixed)))
    assert (found.missed.count, found.missed.total) == (1, 10)
    assert (found.false_alarms.count, found.false_alarms.total) == (2, 9)
    assert found.effective.count == 16


def test_two_showings_have_a_kappa_between_them() -> None:
    found = agreement(
        *study((1, True, (True, True)), (1, False, (True, False)), (2, False, (False, False)))
    )
    chance = (3 / 8) ** 2 + (5 / 8) ** 2
    assert found.kappa_repeat.value == pytest.approx((3 / 4 - chance) / (1 - chance))


def test_the_interval_of_kappa_is_a_jackknife_over_parts() -> None:
    labels, verdicts = study(
        (6, True, (True,)), (2, True, (False,)), (3, False, (True,)), (9, False, (False,))
    )
    said = [verdict for (verdict,) in verdicts]
    without = np.array(
        [cohen_kappa_score(np.delete(labels, n), np.delete(said, n)) for n in range(20)]
    )
    error = np.sqrt(19 / 20 * ((without - without.mean()) ** 2).sum())
    value, reach = cohen_kappa_score(labels, said), error * t.ppf(0.975, 19)
    kappa = agreement(labels, verdicts).kappa
    assert (kappa.lower, kappa.upper) == pytest.approx((value - reach, value + reach))
    near = agreement(*study((30, True, (True,)), (1, True, (False,)), (30, False, (False,))))
    assert near.kappa.upper == 1.0


def test_verdicts_that_say_nothing_are_unacceptable() -> None:
    found = agreement(*study((5, True, YES), (5, False, YES)))
    assert found.kappa.value == 0.0
    assert found.grades["kappa"] is Grade.UNACCEPTABLE


def test_a_faultless_study_proves_itself_only_with_enough_parts() -> None:
    small = agreement(*study((25, True, YES), (25, False, NO)))
    assert small.grade is Grade.ACCEPTABLE
    assert not small.is_proven
    assert small.missed.upper == pytest.approx(1 - 0.05 ** (1 / 25))
    large = agreement(*study((149, True, YES), (60, False, NO)))
    assert large.is_proven
    assert (large.kappa.value, large.kappa.upper) == (1.0, 1.0)
    assert small.kappa.lower is not None
    assert large.kappa.lower is not None
    assert 0.8 < small.kappa.lower < large.kappa.lower < 1


def test_showings_of_a_part_do_not_count_as_parts() -> None:
    once = agreement(*study((18, True, (True,)), (2, True, (False,)), (20, False, (False,))))
    thrice = agreement(*study((18, True, YES), (2, True, NO), (20, False, NO)))
    assert once.missed == thrice.missed
    assert once.kappa == thrice.kappa


@pytest.mark.parametrize(
    ("missed", "rejected", "miss", "alarm", "whole"),
    [
        (0, 0, Grade.ACCEPTABLE, Grade.ACCEPTABLE, Grade.ACCEPTABLE),
        (2, 5, Grade.ACCEPTABLE, Grade.ACCEPTABLE, Grade.ACCEPTABLE),
        (3, 5, Grade.MARGINAL, Grade.ACCEPTABLE, Grade.MARGINAL),
        (2, 10, Grade.ACCEPTABLE, Grade.MARGINAL, Grade.MARGINAL),
        (6, 0, Grade.UNACCEPTABLE, Grade.ACCEPTABLE, Grade.UNACCEPTABLE),
        (0, 11, Grade.ACCEPTABLE, Grade.UNACCEPTABLE, Grade.UNACCEPTABLE),
    ],
)
def test_the_grades_follow_the_limits(
    missed: int, rejected: int, miss: Grade, alarm: Grade, whole: Grade
) -> None:
    groups = [(100 - missed, True, YES), (missed, True, NO)]
    groups += [(100 - rejected, False, NO), (rejected, False, YES)]
    found = agreement(*study(*groups))
    assert (found.grades["miss rate"], found.grades["false alarm rate"]) == (miss, alarm)
    assert found.grade is whole
    assert (MISS_RATE.acceptable, FALSE_ALARM_RATE.acceptable) == (0.02, 0.05)


def test_verdicts_that_waver_are_ineffective() -> None:
    waver = (True, True, False)
    found = agreement(*study((70, True, YES), (30, True, waver), (100, False, NO)))
    assert found.effective.rate == pytest.approx(0.85)
    assert found.grades["effectiveness"] is Grade.MARGINAL
    assert found.missed.count == 30
    assert found.miss_rate == pytest.approx(0.1)


def test_verdicts_by_chance_have_no_kappa() -> None:
    random = np.random.default_rng(1)
    labels = (random.random(400) < 0.5).tolist()
    found = agreement(labels, (random.random((400, 3)) < 0.5).tolist())
    for kappa in (found.kappa, found.kappa_repeat):
        assert kappa.value == pytest.approx(0, abs=0.1)
    assert found.grade is Grade.UNACCEPTABLE


def test_the_interval_of_kappa_covers_it() -> None:
    """Verdicts wrong in 10 % of parts with equal classes: kappa is 0.8."""
    random = np.random.default_rng(2)
    kept = 0
    for _ in range(300):
        labels = np.arange(60) < 30
        verdicts = labels ^ (random.random(60) < 0.1)
        kappa = agreement(labels.tolist(), verdicts[:, np.newaxis].tolist()).kappa
        assert kappa.lower is not None
        assert kappa.upper is not None
        kept += kappa.lower <= 0.8 <= kappa.upper
    assert 0.9 <= kept / 300 <= 0.99


@pytest.mark.parametrize(
    ("labels", "verdicts", "message"),
    [
        ([True, True], [[True], [True]], "needs both good and defective parts"),
        ([True, False], [[True], [True, False]], r"with \[1, 2\] showings"),
        ([True, False], [[True]], r"2 labels, and verdicts for 1 parts"),
        ([True, False], [[], []], r"with \[0\] showings"),
    ],
)
def test_bad_studies_are_refused(
    labels: list[bool], verdicts: list[list[bool]], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        agreement(labels, verdicts)
