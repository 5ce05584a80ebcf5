"""Charts: published run lengths, kept run lengths, delays, and the name of what moved."""

import dataclasses
import json
from collections.abc import Callable
from datetime import datetime, timezone

import numpy as np
import pytest
from scipy import ndimage
from scipy.stats import ks_2samp

from calibration.drift import baseline_from
from calibration.run_lengths import cusum_run_length, ewma_run_length
from edge.drift.monitor import DriftMonitor
from inspection.drift.baseline import Baseline
from inspection.drift.charts import MOVED, ChannelState, update
from inspection.drift.frame_figures import frame_figures
from inspection.errors import ConfigError


@pytest.mark.parametrize(
    ("limit", "shift", "published"),
    [(4, 0, 168), (4, 0.5, 26.6), (4, 1, 8.38), (4, 2, 3.34), (5, 0, 465), (5, 1, 10.4)],
)
def test_run_lengths_of_the_cusum_are_those_of_the_textbook(
    limit: float, shift: float, published: float
) -> None:
    """Montgomery, Introduction to Statistical Quality Control, table 9.3: two-sided, slack 0.5."""
    assert cusum_run_length(limit, 0.5, shift) == pytest.approx(published, rel=0.005)


def test_run_length_of_the_cusum_agrees_with_siegmund() -> None:
    """Siegmund 1985: (exp(-2db) + 2db - 1) / 2d^2 on each side, b = h + 1.166, d = -slack."""
    b = 8 + 1.166
    one_side = (np.exp(b) - b - 1) / 0.5
    assert cusum_run_length(8, 0.5) == pytest.approx(one_side / 2, rel=0.03)


@pytest.mark.parametrize(
    ("weight", "limit", "shift", "published"),
    [
        (0.1, 2.814, 0, 500),
        (0.1, 2.814, 1, 10.3),
        (0.25, 2.998, 0, 500),
        (0.25, 2.998, 1, 11.1),
        (0.05, 2.615, 0, 500),
        (0.05, 2.615, 0.5, 28.8),
    ],
)
def test_run_lengths_of_the_ewma_are_those_of_lucas_and_saccucci(
    weight: float, limit: float, shift: float, published: float
) -> None:
    assert ewma_run_length(limit, weight, shift) == pytest.approx(published, rel=0.005)


Draw = Callable[[np.random.Generator, int], np.ndarray]


def alarms_in(baseline: Baseline, values: np.ndarray) -> list[int]:
    """After how many parts each chart of the channel `score` alarms."""
    state: dict[str, ChannelState] = {}
    return [
        number + 1
        for number, value in enumerate(values.tolist())
        for _ in update(baseline, state, {"score": value})
    ]


def lognormal(random: np.random.Generator, parts: int) -> np.ndarray:
    return np.asarray(np.exp(random.normal(size=parts)))


def two_humps(random: np.random.Generator, parts: int) -> np.ndarray:
    return np.asarray(random.normal(size=parts) + 6 * (random.random(parts) < 0.3))


def coarse(random: np.random.Generator, parts: int) -> np.ndarray:
    return np.round(random.gamma(2, size=parts), 1)


@pytest.mark.parametrize("draw", [lognormal, two_humps, coarse])
def test_false_alarms_are_as_rare_as_asked(draw: Draw) -> None:
    """For any distribution: at most one in 500 good parts, with at least 80 % of the baselines."""
    random = np.random.default_rng(3)
    rates = []
    for _ in range(12):
        baseline = baseline_from({"score": draw(random, 150).tolist()}, run_length=500)
        rates.append(len(alarms_in(baseline, draw(random, 2000))) / 2000)
    assert np.mean(np.asarray(rates) <= 1 / 500) >= 0.8
    assert 0 < np.mean(rates) <= 1 / 500


def test_a_shift_by_one_deviation_is_found_soon() -> None:
    random = np.random.default_rng(4)
    delays = []
    for _ in range(12):
        baseline = baseline_from({"score": random.normal(size=300).tolist()}, run_length=1000)
        delays += [alarms_in(baseline, random.normal(1, 1, 150))[0] for _ in range(6)]
    assert np.mean(delays) < 20
    assert max(delays) < 100


def test_fewer_parts_give_slower_charts_not_more_alarms() -> None:
    random = np.random.default_rng(5)
    limits = [
        baseline_from({"score": random.normal(size=parts).tolist()}) for parts in (30, 100, 1000)
    ]
    assert limits[0].cusum_limit > limits[1].cusum_limit > limits[2].cusum_limit
    assert limits[0].ewma_limit > limits[1].ewma_limit > limits[2].ewma_limit


def test_a_wider_spread_at_the_same_mean_is_found_by_the_window() -> None:
    random = np.random.default_rng(6)
    baseline = baseline_from({"score": random.normal(size=500).tolist()}, run_length=1000)
    state: dict[str, ChannelState] = {}
    wide = np.tile([-2.2, 2.2], 50) + random.normal(0, 0.1, 100)
    alarms = [one for value in wide.tolist() for one in update(baseline, state, {"score": value})]
    assert [(one.chart, one.direction, one.parts) for one in alarms] == [("window", 0, 100)]


def test_the_window_limit_is_that_of_baseline_and_window_together() -> None:
    """Critical values of the one-sample test: D(100) at 0.1 is 0.1207, D(50) at 0.01 is 0.2260."""
    values = np.random.default_rng(7).normal(size=100).tolist()
    baseline = baseline_from({"score": values}, run_length=50 / 3 / 0.01, window=50)
    assert baseline.window_limit == pytest.approx(0.1207 + 0.2260, abs=2e-4)


@pytest.mark.parametrize("shift", [0.0, 0.6, 1.0, 1.2])
def test_the_window_alarms_at_the_distance_of_the_two_samples(shift: float) -> None:
    random = np.random.default_rng(8)
    first, second = random.normal(size=200), random.normal(shift, 1, 50)
    baseline = baseline_from({"score": first.tolist()}, run_length=1000, window=50)
    state: dict[str, ChannelState] = {}
    charts = [one.chart for x in second.tolist() for one in update(baseline, state, {"score": x})]
    assert ("window" in charts) == (ks_2samp(first, second).statistic > baseline.window_limit)
    assert state["score"].window == []


def test_state_and_baseline_survive_as_json() -> None:
    random = np.random.default_rng(8)
    baseline = baseline_from({"score": random.normal(size=100).tolist()}, run_length=500)
    values = random.normal(0.8, 1, 300)
    whole: dict[str, ChannelState] = {}
    split: dict[str, ChannelState] = {}
    expected, found = [], []
    for number, value in enumerate(values.tolist()):
        if number % 50 == 17:
            kept = json.dumps({name: dataclasses.asdict(one) for name, one in split.items()})
            split = {name: ChannelState(**one) for name, one in json.loads(kept).items()}
            baseline = Baseline.model_validate_json(baseline.model_dump_json())
        expected.append(update(baseline, whole, {"score": value}))
        found.append(update(baseline, split, {"score": value}))
    assert found == expected
    assert any(expected)


# --- Frames -------------------------------------------------------------------------------------


def scene() -> np.ndarray:
    rough = ndimage.gaussian_filter(np.random.default_rng(9).normal(size=(96, 96)), 1.0)
    return np.asarray(120 + 90 * rough / np.abs(rough).max())


def frame_of(
    random: np.random.Generator,
    *,
    light: float = 1.0,
    blur: float = 0.0,
    shift: tuple[float, float] = (0, 0),
) -> np.ndarray:
    """A frame of the same part with noise, and a place and light that vary a little."""
    place = np.asarray(shift) + random.normal(0, 0.05, 2)
    clean = ndimage.gaussian_filter(ndimage.shift(scene(), place, mode="grid-wrap"), blur)
    seen = clean * light * random.normal(1, 0.01) + random.normal(0, 2, clean.shape)
    return np.asarray(np.clip(seen, 0, 255), dtype=np.uint8)


NOW = datetime(2026, 11, 21, tzinfo=timezone.utc)
REFERENCE = scene().astype(np.uint8)


@pytest.fixture(scope="module")
def good_frames() -> Baseline:
    random = np.random.default_rng(10)
    figures = [frame_figures(frame_of(random), REFERENCE) for _ in range(60)]
    channels = {name: [one[name] for one in figures] for name in figures[0]}
    return baseline_from({**channels, "score": random.gamma(3, size=60).tolist()})


@pytest.mark.parametrize(
    ("change", "moved", "channel", "direction"),
    [
        ({"light": 0.93}, "light", "brightness", -1),
        ({"light": 1.07}, "light", "brightness", 1),
        ({"blur": 0.8}, "focus", "sharpness", -1),
        ({"shift": (3, 0)}, "position", "row", 1),
        ({"shift": (0, -3)}, "position", "column", -1),
    ],
)
def test_the_alarm_names_what_moved(  # type: ignore[no-untyped-def]
    good_frames: Baseline, change, moved: str, channel: str, direction: int
) -> None:
    random, monitor = np.random.default_rng(11), DriftMonitor(good_frames)
    for number in range(80):
        figures = frame_figures(frame_of(random, **change), REFERENCE)
        # What the model makes of it: the scores rise as well.
        monitor.add({**figures, "score": float(random.gamma(3) + 3)}, str(number), NOW)
    assert monitor.moved == moved
    alarm = monitor.standing[0]
    assert (alarm.channel, alarm.direction) == (channel, direction)


def test_scores_that_move_alone_mean_texture(good_frames: Baseline) -> None:
    random, monitor = np.random.default_rng(12), DriftMonitor(good_frames)
    for number in range(80):
        figures = frame_figures(frame_of(random), REFERENCE)
        monitor.add({**figures, "score": 20.0}, str(number), NOW)
    assert [alarm.moved for alarm in monitor.standing] == ["texture"]


def test_light_moves_the_brightness_alone() -> None:
    dark = (scene() * 0.6).astype(np.uint8)
    first, second = frame_figures(scene().astype(np.uint8)), frame_figures(dark)
    assert second["brightness"] / first["brightness"] == pytest.approx(0.6, abs=0.01)
    assert second["contrast"] == pytest.approx(first["contrast"], rel=0.02)
    assert second["sharpness"] == pytest.approx(first["sharpness"], rel=0.05)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (3.0, -5.0), (-2.5, 1.25), (10.4, 0.0)])
def test_the_shift_is_measured_to_a_fraction_of_a_pixel(shift: tuple[float, float]) -> None:
    moved = ndimage.shift(scene(), shift, mode="grid-wrap").astype(np.uint8)
    figures = frame_figures(np.stack([moved] * 3, axis=2), REFERENCE)
    assert (figures["row"], figures["column"]) == pytest.approx(shift, abs=0.2)


@pytest.mark.parametrize(
    ("figures", "message"),
    [
        ({"colour": [1.0] * 30}, r"channels \['colour'\] are unknown; known are row, "),
        ({}, r"channels \[\] are unknown"),
        ({"score": [1.0] * 29}, "at least 30"),
        ({"score": [1.0] * 30, "row": [1.0] * 31}, r"have \[30, 31\] values"),
        ({"score": [float("nan")] * 30}, "needs finite values"),
    ],
)
def test_bad_baselines_are_refused(figures: dict[str, list[float]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        baseline_from(figures)


def test_every_channel_has_a_cause() -> None:
    figures = frame_figures(REFERENCE, REFERENCE)
    assert {*figures, "score"} == set(MOVED)
