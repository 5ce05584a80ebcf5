"""Histograms with one axis."""

from __future__ import annotations

import pytest

from edge.panel.sensitivity.histogram import HEIGHT, LEFT, RIGHT, histograms


def test_every_part_is_in_a_bar_and_rows_share_the_axis() -> None:
    found = histograms({"good": [1.0, 1.0, 2.0], "none": [], "bad": [3.0]}, [2.0, 2.5])
    good, bad = found.rows
    assert (good.name, good.count, good.most) == ("good", 3, 2)
    assert [bar.height for bar in good.bars] == [HEIGHT, HEIGHT / 2]
    assert all(bar.y + bar.height == HEIGHT for bar in good.bars)
    assert good.bars[0].x == pytest.approx(LEFT + 0.5)
    (only,) = bad.bars
    assert only.x < found.x(3.0) <= only.x + only.width + 1
    assert [tick.x for tick in found.ticks][:: len(found.ticks) - 1] == [LEFT, RIGHT]
    assert not found.is_cut


def test_gross_defects_do_not_press_the_rest_into_one_bar() -> None:
    found = histograms({"good": [1.0, 2.0], "bad": [900.0]}, [2.0])
    assert found.high < 4
    assert found.is_cut
    assert found.rows[1].bars[0].x > found.x(2.9)
    assert found.x(900.0) == RIGHT


def test_equal_scores_have_an_axis() -> None:
    found = histograms({"good": [0.0, 0.0]}, [0.0])
    assert found.rows[0].most == 2
    assert found.low < found.high
