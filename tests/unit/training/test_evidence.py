"""The comparison of candidates: order, limits and choice. A fake bench and a fake clock."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from training.candidates import Candidate, Features, best_first, default_first
from training.evidence import Scores, compare, merit
from training.evidence_record import Evidence
from training.weights_source import Source

FAST, SLOW = (Source(name, "none", "") for name in ("fast", "slow"))
SIZE = (128, 128)
CANDIDATES = [
    Candidate(form, Features(source, SIZE))
    for source in (FAST, SLOW)
    for form in ("plain", "other")
]
GOOD = np.arange(20.0)
IMAGES = np.repeat(np.arange(20), 3)


@dataclass
class FakeBench:
    """Each candidate takes a second, and its features ten images' time; some are ahead."""

    ahead: dict[str, float] = field(default_factory=dict)
    now: float = 0.0
    judged: list[Candidate] = field(default_factory=list)

    def features_s(self, candidate: Candidate) -> float:
        return 0.4 if candidate.features.source is SLOW else 0.1

    def expected_s(self, candidate: Candidate) -> float:
        is_known = candidate.features in [one.features for one in self.judged]
        return 0.0 if is_known else 10 * self.features_s(candidate)

    def judge(self, candidate: Candidate) -> Scores:
        self.now += 1 + self.expected_s(candidate)
        self.judged.append(candidate)
        random = np.random.default_rng(len(self.judged))
        shift = 4 + self.ahead.get(candidate.form, 0.0)
        return Scores(GOOD, GOOD[IMAGES] + shift + random.normal(0, 4, len(IMAGES)), IMAGES)


def compared(bench: FakeBench, seconds: float = 1000) -> tuple[Candidate, Evidence]:
    chosen, tried, reason = compare(CANDIDATES, bench, seconds, clock=lambda: bench.now)
    evidence = Evidence(judged=20, drawn=60, seconds=3.0, tried=tried, reason=reason)
    return chosen, evidence


def test_a_chance_lead_leaves_the_default() -> None:
    chosen, evidence = compared(FakeBench())
    assert chosen == CANDIDATES[0]
    assert [one.remark for one in evidence.tried] == ["chosen", "", "", ""]
    assert all(one.lead_std > 0 for one in evidence.tried[1:])
    assert evidence.reason.endswith("the default stays")


def test_a_clear_lead_is_taken() -> None:
    chosen, evidence = compared(FakeBench(ahead={"other": 12}))
    assert chosen.form == "other"
    assert [one.remark for one in evidence.tried].count("chosen") == 1
    assert evidence.tried[0].remark == "default"
    assert evidence.reason.startswith("other on ")


def test_no_candidate_begins_that_would_end_too_late_but_the_default_does() -> None:
    bench = FakeBench()
    _, evidence = compared(bench, seconds=4)
    assert bench.judged == CANDIDATES[:2]
    assert [one.remark for one in evidence.tried] == ["chosen", "", *["no time left"] * 2]
    assert [one.features_ms for one in evidence.tried[::2]] == [100, 400]
    bench = FakeBench()
    compared(bench, seconds=0)
    assert bench.judged == CANDIDATES[:1]


def test_defects_are_found_above_the_threshold_of_the_good_images() -> None:
    few = merit(np.array([1.0, 2.0, 3.0]), np.array([2.5, 3.5, 4.0, 0.5]))
    assert few.found == 0.5
    assert few.image_auroc == pytest.approx(8 / 12)
    many = np.arange(1000.0)
    assert merit(many, np.array([985.0, 995.0])).found == 0.5


def test_the_table_shows_every_candidate() -> None:
    head, titles, *rows, late, reason = compared(FakeBench(), seconds=4)[1].lines()
    assert head == (
        "compared on 20 good images, each by a model without it, and 60 defects drawn on them; 3 s"
    )
    assert titles.split() == ["model", "backbone", "input", "AUROC", "found", "lead", "ms"]
    assert rows[0].split()[:3] == ["plain", "fast", "128x128"]
    assert rows[0].split()[-2:] == ["100", "chosen"]
    assert rows[3].split() == [
        *("other", "slow", "128x128", "-", "-", "-", "400", "no", "time", "left")
    ]
    assert late == (
        "no time was left for 2 of 4 models: give more with --minutes, or name fewer with --models"
    )
    assert reason.endswith("stays")
    assert not any("--minutes" in line for line in compared(FakeBench())[1].lines())


def test_the_default_depends_on_the_backbone() -> None:
    lite = Source("tf_efficientnet_lite0.in1k", "package", "")
    resnet = Source("resnet18.tv_in1k", "hub", "")
    assert best_first([resnet, lite]) == [lite, resnet]
    forms = ["memory", "subspace", "mahalanobis"]
    assert default_first(forms, lite)[0] == "memory"
    assert default_first(forms, resnet) == ["subspace", "memory", "mahalanobis"]
