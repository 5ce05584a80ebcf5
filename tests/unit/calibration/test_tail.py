"""The model of the tail: fit, interval, test of fit, refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from calibration import tail
from calibration.tail import MODEL, fit_tail, tail_model
from inspection.errors import ConfigError


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.25, 0.6])
def test_the_fit_is_the_maximum_that_scipy_finds(shape: float) -> None:
    excesses = stats.genpareto.rvs(shape, scale=2.0, size=300, random_state=1)
    expected_shape, _, expected_scale = stats.genpareto.fit(excesses, floc=0)
    found = fit_tail(excesses)
    assert found == pytest.approx((expected_shape, expected_scale), abs=2e-3)
    likelihood = stats.genpareto.logpdf(excesses, found[0], 0, found[1]).sum()
    best = stats.genpareto.logpdf(excesses, expected_shape, 0, expected_scale).sum()
    assert likelihood >= best - 1e-4


def test_an_exponential_tail_is_met_where_the_formula_is_0_by_0() -> None:
    excesses = stats.expon.ppf((np.arange(400) + 0.5) / 400)
    shape, scale = fit_tail(excesses)
    assert shape == pytest.approx(0, abs=0.03)
    assert scale == pytest.approx(1, abs=0.03)


DISTRIBUTIONS = {
    "normal": stats.norm(),
    "lognormal": stats.lognorm(0.5),
    "gamma": stats.gamma(2),
    "exponential": stats.expon(),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_the_bounds_cover_the_quantile(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ends hold in about 95 % of trials, and the estimate is near: the model is usable."""
    monkeypatch.setattr(tail, "_REPLICATES", 39)
    truth = DISTRIBUTIONS[name].ppf(1 - 0.001)
    random = np.random.default_rng(2)
    draws = [DISTRIBUTIONS[name].rvs(size=300, random_state=random).tolist() for _ in range(40)]
    models = []
    for draw in draws:
        try:
            models.append(tail_model(draw, false_reject_rate=0.001, confidence=0.95))
        except ConfigError:  # the fit test refuses about 1 in 20 by chance
            continue
    assert len(models) >= 34
    allowed = 0.05 + 3 * (0.05 * 0.95 / len(models)) ** 0.5
    assert np.mean([model.upper < truth for model in models]) <= allowed
    assert np.mean([model.lower > truth for model in models]) <= allowed
    assert np.median([model.threshold for model in models]) == pytest.approx(truth, rel=0.12)
    assert all(model.lower < model.threshold < model.upper for model in models)


@pytest.mark.parametrize("name", ["normal", "gamma"])
def test_few_excesses_do_not_make_the_tail_end_too_soon(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the penalty on the shape, the bound covers in about 80 % of trials here."""
    monkeypatch.setattr(tail, "_WORST_FIT", 0.0)
    monkeypatch.setattr(tail, "_REPLICATES", 1)
    truth = DISTRIBUTIONS[name].ppf(1 - 0.001)
    random = np.random.default_rng(9)
    draws = [DISTRIBUTIONS[name].rvs(size=100, random_state=random).tolist() for _ in range(60)]
    uppers = [tail_model(draw, false_reject_rate=0.001, confidence=0.95).upper for draw in draws]
    assert np.mean(np.array(uppers) >= truth) >= 0.95 - 3 * (0.95 * 0.05 / 60) ** 0.5


def test_a_model_says_that_it_is_one_and_what_it_rests_on() -> None:
    scores = np.random.default_rng(3).normal(size=400)
    model = tail_model(scores.tolist(), false_reject_rate=0.001, confidence=0.95)
    assert model.label == MODEL == "model (generalised Pareto tail), not a guarantee"
    assert (model.parts, model.excesses) == (400, 40)
    assert (scores > model.level).sum() == 40
    assert model.goodness_of_fit >= 0.05
    survival = stats.genpareto.sf(model.threshold - model.level, model.shape, 0, model.scale)
    assert survival * 40 / 400 == pytest.approx(0.001, rel=1e-6)


def test_a_rarer_rate_needs_a_higher_threshold_and_more_confidence_a_wider_interval() -> None:
    scores = np.random.default_rng(4).normal(size=300).tolist()
    common, rare = (
        tail_model(scores, false_reject_rate=rate, confidence=0.95) for rate in (0.01, 0.001)
    )
    sure = tail_model(scores, false_reject_rate=0.01, confidence=0.99)
    assert common.threshold < rare.threshold
    assert rare.upper - rare.lower > common.upper - common.lower
    assert sure.lower < common.lower < common.upper < sure.upper


@settings(max_examples=10, deadline=None)
@given(st.sampled_from([0.01, 1.0, 300.0]), st.integers(-1000, 1000), st.integers(0, 100))
def test_units_and_order_of_the_scores_do_not_matter(unit: float, origin: float, seed: int) -> None:
    scores = np.random.default_rng(5).gamma(3, size=150)
    first = tail_model(scores.tolist(), false_reject_rate=0.002, confidence=0.9)
    moved = np.random.default_rng(seed).permutation(scores * unit + origin).tolist()
    second = tail_model(moved, false_reject_rate=0.002, confidence=0.9)
    assert second.shape == pytest.approx(first.shape, abs=1e-3)
    assert second.threshold == pytest.approx(first.threshold * unit + origin, rel=1e-3, abs=1e-2)
    assert second.upper == pytest.approx(first.upper * unit + origin, rel=5e-2, abs=1e-2)


def test_the_fit_test_refuses_as_often_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "_REPLICATES", 99)
    random = np.random.default_rng(6)
    refused = 0
    for _ in range(100):
        scores = random.exponential(size=150).tolist()  # 30 excesses: a single level
        try:
            tail_model(scores, false_reject_rate=0.01, confidence=0.9)
        except ConfigError:
            refused += 1
    assert 0 < refused / 100 <= 0.05 + 3 * (0.05 * 0.95 / 100) ** 0.5


def test_a_tail_of_its_own_is_refused() -> None:
    random = np.random.default_rng(7)
    mixed = [*random.normal(size=280), *random.normal(8, 0.1, size=20)]
    with pytest.raises(ConfigError, match=r"the 30 highest scores do not follow .*p = 0\.0"):
        tail_model(mixed, false_reject_rate=0.001, confidence=0.95)


def test_a_higher_level_is_taken_where_the_lower_does_not_fit() -> None:
    """The upper tenth has two parts: the last twentieth alone is exponential."""
    random = np.random.default_rng(8)
    scores = [*random.random(1900), *(20 + random.exponential(size=100))]
    model = tail_model(scores, false_reject_rate=0.001, confidence=0.95)
    assert model.excesses < 100
    assert model.level > 20


@pytest.mark.parametrize(
    ("scores", "rate", "message"),
    [
        (range(99), 0.001, "99 good parts are too few for a model of the tail"),
        ([1.0, 2.0] * 100, 0.001, "200 good parts are too few .* with different scores"),
        (range(200), 0.2, r"a false reject rate of 0\.2 is within the scores"),
        (range(200), 0.0, r"the false reject rate is 0\.0"),
        ([float("inf"), *range(200)], 0.001, "finite scores"),
    ],
)
def test_bad_input_is_refused(scores: list[float], rate: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tail_model(list(scores), false_reject_rate=rate, confidence=0.95)
