"""Division of good images for a comparison, and the defects that it draws."""

from collections import Counter
from itertools import product
from pathlib import Path

import pytest

from training.comparison_pictures import divided, wanted_defects
from training.data.data_set import Sample
from training.data.survey import SurveyedSample
from training.drawn_defects import CONTRASTS, KINDS


@pytest.mark.parametrize(
    ("images", "learnt", "compared"), [(2, 1, 1), (18, 12, 6), (60, 40, 20), (400, 60, 24)]
)
def test_a_third_is_compared_on_within_limits(images: int, learnt: int, compared: int) -> None:
    samples = [SurveyedSample(Sample(Path(f"{i}.png")), f"{i}", (9, 9), 3) for i in range(images)]
    division = divided(samples)
    assert (len(division.learnt), len(division.compared)) == (learnt, compared)
    assert not {s.sha256 for s in division.learnt} & {s.sha256 for s in division.compared}


def test_all_kinds_come_at_all_contrasts_and_every_image_gets_its_share() -> None:
    dealt = wanted_defects(6, 60)
    assert {len(of_image) for of_image in dealt} == {10}
    counts = Counter((one.kind, one.contrast) for of_image in dealt for one in of_image)
    assert counts == dict.fromkeys(product(KINDS, CONTRASTS), 4)
    assert all(len({one.contrast for one in of_image}) > 1 for of_image in dealt)
    assert dealt == wanted_defects(6, 60)
