"""The words about drawn defects that pass."""

from collections import Counter

from training.escapes import ObviousDefects


def test_defects_that_pass_are_a_warning_with_their_kinds() -> None:
    drawn = Counter({"scratch": 6, "stain": 6})
    assert ObviousDefects(drawn, Counter({"scratch": 4})).lines()[0] == (
        "warning: passes 4 of 12 obvious defects drawn on good images: 4 of 6 scratch"
    )


def test_without_one_that_passes_the_number_of_drawn_ones_is_named() -> None:
    (line,) = ObviousDefects(Counter({"scratch": 6, "stain": 6}), Counter()).lines()
    assert line == "rejects all 12 obvious defects drawn on good images"
