"""The comparison of candidates: order, limits and choice. A fake bench and a fake clock."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import pytest

from inspection.errors import ConfigError
from training.candidates import FORMS, Candidate, Features, forms_at_hand, grouped
from training.evidence import Limits, choose, contest
from training.evidence_record import Evidence, Tried
from training.weights_source import Source

SLOW, FAST = (Source(name, "none", "") for name in ("slow", "fast"))
SMALL, LARGE = (128, 128), (256, 256)


@dataclass
class FakeBench:
    """Two forms of each features; the second is better, and each takes a second."""

    images: int = 10
    now: float = 0.0
    judged: list[tuple[str, tuple[int, int], str]] = field(default_factory=list)

    def extraction_s(self, features: Features) -> float:
        return (0.4 if features.source is SLOW else 0.1) * features.area / (128 * 128)

    def untried(self, features: Features) -> list[Tried]:
        name, size = features.source.name, features.size
        return [Tried(form=form, backbone=name, image_size=size) for form in ("plain", "better")]

    def judge(self, features: Features) -> Iterator[Callable[[], Tried]]:
        for number, untried in enumerate(self.untried(features)):
            yield partial(self._work, untried, number)

    def _work(self, untried: Tried, number: int) -> Tried:
        self.now += 1
        self.judged.append((untried.backbone, untried.image_size, untried.form))
        return untried.model_copy(update={"image_auroc": 0.7 + 0.1 * number, "aupro": 0.5})


def tried_by(bench: FakeBench, limits: Limits) -> list[Tried]:
    groups = grouped([SLOW, FAST], [SMALL, LARGE])
    return contest(groups, bench, limits, started=0.0, clock=lambda: bench.now)


def test_the_cheapest_features_come_first() -> None:
    bench = FakeBench()
    tried_by(bench, Limits(seconds=1000))
    assert bench.judged[::2] == [
        ("fast", SMALL, "plain"),
        ("slow", SMALL, "plain"),
        ("fast", LARGE, "plain"),
        ("slow", LARGE, "plain"),
    ]


def test_no_candidate_begins_that_would_end_too_late() -> None:
    bench = FakeBench()
    tried = tried_by(bench, Limits(seconds=4))
    assert bench.judged == [("fast", SMALL, "plain"), ("fast", SMALL, "better")]
    assert [one.remark for one in tried] == ["", "", *["no time left"] * 6]
    assert [one.features_ms for one in tried[::2]] == [100, 400, 400, 1600]


def test_the_first_candidate_runs_however_little_time_there_is() -> None:
    bench = FakeBench()
    assert [one.is_tried for one in tried_by(bench, Limits(seconds=0))] == [True, *[False] * 7]


def test_candidates_over_the_budget_are_named_and_not_tried() -> None:
    bench = FakeBench()
    tried = tried_by(bench, Limits(seconds=1000, budget_ms=200))
    assert {judged[:2] for judged in bench.judged} == {("fast", SMALL)}
    assert {one.remark for one in tried if not one.is_tried} == {"slower than 200 ms"}


def test_a_budget_that_no_candidate_keeps_is_refused() -> None:
    limits = Limits(seconds=1000, budget_ms=50)
    with pytest.raises(ConfigError, match="the fastest of 8 candidates takes 100 ms for one image"):
        choose(tried_by(FakeBench(), limits), limits)


def test_the_best_is_chosen_and_of_equal_ones_the_cheapest() -> None:
    limits = Limits(seconds=1000)
    tried = tried_by(FakeBench(), limits)
    assert choose(tried, limits) is tried[1]


def test_the_table_shows_every_candidate() -> None:
    tried = tried_by(FakeBench(), Limits(seconds=4))
    evidence = Evidence(fitted=12, compared=6, drawn=60, seconds=3.0, tried=tuple(tried))
    head, titles, *rows = evidence.lines()
    assert head == "compared on 6 good images and 60 defects drawn on them, after learning 12; 3 s"
    assert titles.split() == ["model", "backbone", "input", "AUROC", "AUPRO", "ms"]
    assert rows[1].split() == ["better", "fast", "128x128", "0.800", "0.500", "100"]
    assert rows[7].split() == ["better", "slow", "256x256", "-", "-", "1600", "no", "time", "left"]


@pytest.mark.parametrize("form", forms_at_hand())
def test_every_form_is_a_training(form: str) -> None:
    fixed = {"data": {"folder": "/parts", "hold_out": 0.3}, "fit": {"device": "cpu", "seed": 3}}
    config = Candidate(form, Source("resnet18.tv_in1k", "none", ""), SMALL).config(fixed)
    assert config.data.image_size == SMALL
    assert config.model.name == FORMS[form]["name"]
