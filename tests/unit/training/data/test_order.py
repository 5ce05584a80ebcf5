"""The samples of an epoch (acceptance oracle 15)."""

from collections import Counter

import pytest
import torch

from training.data.order import Balanced, GoodOnly, batches


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_good_only_shows_every_sample_once(generator: torch.Generator) -> None:
    assert sorted(GoodOnly(7).epoch(generator)) == [(index, 0) for index in range(7)]


def test_each_defect_comes_in_its_four_views(generator: torch.Generator) -> None:
    order = Balanced(good=50, defective=6)
    draw = order.epoch(generator)
    assert len(draw) == len(order) == 48
    views = Counter(item for item in draw if item[0] >= 50)
    assert set(views.values()) == {1}
    assert len(views) == 24
    good = [index for index, flip in draw if index < 50]
    assert len(set(good)) == 24
    assert all(flip == 0 for index, flip in draw if index < 50)


def test_with_few_good_samples_they_repeat(generator: torch.Generator) -> None:
    draw = Balanced(good=3, defective=2).epoch(generator)
    assert len([index for index, _ in draw if index < 3]) == 8


def test_equal_use_gives_equal_chances() -> None:
    order = Balanced(good=10, defective=1)
    assert order.probabilities().tolist() == pytest.approx([0.1] * 10)
    order.drawn += 3
    assert order.probabilities().tolist() == pytest.approx([0.1] * 10)


def test_unused_samples_are_preferred() -> None:
    """KSDD2 after its first epoch: 984 of 2085 used."""
    order = Balanced(good=2085, defective=246)
    order.drawn[:984] = 1
    chances = order.probabilities()
    assert float(chances[0]) == pytest.approx(0, abs=1e-12)
    assert float(chances[-1]) == pytest.approx(1 / 1101, rel=1e-6)


def test_the_last_batch_may_be_smaller(generator: torch.Generator) -> None:
    assert [len(part) for part in batches(GoodOnly(10).epoch(generator), 4)] == [4, 4, 2]
