"""The geometry of the charts of a calibration."""

import pytest

from calibration.curve import ThresholdCurve
from reports.charts import HEIGHT, WIDTH, Chart, histogram, rate_curve


def curve_of(scores: list[float], thresholds: list[tuple[str, float]]) -> Chart:
    curve = ThresholdCurve.of(scores, confidence=0.95)
    return rate_curve(curve.thresholds, curve.expected, curve.bounds, thresholds)


@pytest.mark.parametrize("scores", [[0.5], [0.0, 0.0], [0.1, 0.4, 0.9], list(range(1000))])
def test_charts_stay_inside_their_drawing(scores: list[float]) -> None:
    thresholds = [("reject", max(scores))]
    bars = histogram(scores, thresholds)
    for x, y, width, height in bars.bars:
        assert bars.left <= x < x + width <= bars.right
        assert bars.top <= y < y + height <= bars.bottom + 0.11
    curve = curve_of(scores, thresholds)
    assert len(curve.lines) == 2
    for line in curve.lines:
        for point in line.points.split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= WIDTH
            assert curve.top <= y <= curve.bottom <= HEIGHT
    assert [mark.text for mark in curve.marks] == ["reject"]


def test_a_threshold_between_two_scores_is_drawn_with_the_promise_of_the_lower() -> None:
    expected, _ = curve_of([1.0, 2.0, 3.0], []).lines
    points = [tuple(map(float, p.split(","))) for p in expected.points.split()]
    assert len(points) == 5
    assert points[0][1] == points[1][1] < points[2][1] == points[3][1]
    assert points[1][0] == points[2][0]


@pytest.mark.parametrize(
    ("scores", "columns", "rows"),
    [
        ([0.0, 1.0], ["0", "0.2", "0.4", "0.6", "0.8", "1"], ["0", "1"]),
        ([1234.0] * 30 + [2234.0], ["1200", "1400", "1600", "1800", "2000", "2200"], None),
        ([-3e-7, 2e-7], ["-3e-07", "-2e-07", "-1e-07", "0", "1e-07", "2e-07"], ["0", "1"]),
    ],
)
def test_axes_have_round_numbers(
    scores: list[float], columns: list[str], rows: list[str] | None
) -> None:
    chart = histogram(scores, [("reject", max(scores))])
    assert [tick.text for tick in chart.columns] == columns
    assert [tick.text for tick in chart.rows] == (rows or ["0", "5", "10", "15", "20", "25", "30"])


def test_axes_have_names() -> None:
    bars, curve = histogram([1.0, 2.0], []), curve_of([1.0, 2.0], [])
    assert (bars.axis, bars.row_axis) == ("raw score", "parts")
    assert (curve.axis, curve.row_axis) == ("threshold", "false reject rate")


def test_few_decades_have_lines_in_between() -> None:
    few, many = curve_of([float(n) for n in range(9)], []), curve_of(list(range(4000)), [])
    assert [tick.text for tick in few.rows] == ["0.1", "0.2", "0.5", "1"]
    assert [tick.text for tick in many.rows] == ["0.0001", "0.001", "0.01", "0.1", "1"]


def test_names_of_near_thresholds_do_not_meet() -> None:
    near = histogram([0.0, 10.0], [("reject", 5.2), ("review", 5.0)]).marks
    assert [(mark.text, mark.anchor) for mark in near] == [("reject", "start"), ("review", "end")]
    far = histogram([0.0, 10.0], [("reject", 9.0), ("review", 5.0)]).marks
    assert [mark.anchor for mark in far] == ["end", "end"]
