"""Division of good images for a comparison, and the defects that it draws."""

from collections import Counter
from itertools import product

import pytest

from training.comparison_pictures import dealt, folds, wanted_defects
from training.drawn_defects import CONTRASTS, KINDS


@pytest.mark.parametrize(
    ("images", "one", "count", "judged"),
    [
        (2, False, 2, 2),
        (18, False, 3, 18),
        (71, False, 3, 71),
        (400, False, 1, 24),
        (18, True, 1, 6),
    ],
)
def test_no_model_judges_an_image_that_it_has_learnt(
    images: int, one: bool, count: int, judged: int
) -> None:
    made = folds(images, one=one)
    assert len(made) == count
    assert all(fold.learnt and not {*fold.learnt} & {*fold.judged} for fold in made)
    everything = [number for fold in made for number in fold.judged]
    assert len(everything) == len({*everything}) == judged
    assert max(len(fold.learnt) for fold in made) <= 48


def test_all_kinds_come_at_all_contrasts_and_every_image_gets_its_share() -> None:
    drawn = dealt(wanted_defects(60), range(6))
    assert Counter(drawn.images) == dict.fromkeys(range(6), 10)
    assert drawn.images == sorted(drawn.images)
    counts = Counter((one.kind, one.contrast) for one in drawn.wanted)
    assert counts == dict.fromkeys(product(KINDS, CONTRASTS), 4)
    for image in range(6):
        mine = [w for w, on in zip(drawn.wanted, drawn.images, strict=True) if on == image]
        assert len({one.contrast for one in mine}) > 1
    assert drawn == dealt(wanted_defects(60), range(6))
