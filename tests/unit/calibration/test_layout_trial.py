"""The promise that a trial of a layout takes over from the active calibration."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from calibration.layout_trial import targets_of
from calibration.tolerance import tolerance_limit
from inspection.errors import ConfigError
from inspection.files import sha256_of

BUNDLE: Any = SimpleNamespace(trained_on=frozenset)


def calibration(**values: object) -> Any:
    known = {"false_reject_rate_target": 0.01, "confidence": 0.95, "review_rate_bound": None}
    named: dict[str, object] = {"parts": {}, "lots": {}, "without": {}, "modelled_rate": None}
    return SimpleNamespace(**(known | named | values))


@pytest.mark.parametrize("rate", [0.02, 0.05, 0.1])
def test_the_same_scores_give_the_same_review_threshold(rate: float) -> None:
    for count in range(60, 600, 7):
        scores = [float(number) for number in range(count)]
        asked = tolerance_limit(scores, false_reject_rate=rate, confidence=0.95)
        targets = targets_of(BUNDLE, calibration(review_rate_bound=asked.bound), [])
        assert targets.review_rate is not None
        again = tolerance_limit(scores, false_reject_rate=targets.review_rate, confidence=0.95)
        assert again.rank == asked.rank, count


def test_images_that_do_not_count_need_no_name(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("named", "learnt", "left out", "unknown")]
    for path in paths:
        path.write_text(path.name)
    named, learnt, left_out, unknown = paths
    bundle: Any = SimpleNamespace(trained_on=lambda: frozenset({sha256_of(learnt)}))
    active = calibration(parts={sha256_of(named): "P7"}, without={sha256_of(left_out): "x.png"})
    targets = targets_of(bundle, active, paths[:3])
    assert targets.part_of is not None
    assert targets.part_of(named) == "P7"
    with pytest.raises(ConfigError, match="unknown: the active calibration names the parts"):
        targets_of(bundle, active, [*paths[:3], unknown])
