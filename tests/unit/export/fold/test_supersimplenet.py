"""The fold of SuperSimpleNet gives the results of the model."""

from __future__ import annotations

import pytest
import torch

from export.fold.supersimplenet import Deployed
from tests.doubles.folds import assert_folded
from tests.doubles.small_models import frames, small_supersimplenet


@pytest.mark.parametrize("score", ["segmentation", "classification"])
@pytest.mark.parametrize("version", ["jims", "icpr"])
@pytest.mark.parametrize("size", [(64, 64), (96, 72)])
def test_the_fold_is_exact(version: str, score: str, size: tuple[int, int]) -> None:
    ssn = small_supersimplenet(size, version=version, score=score)
    assert_folded(ssn, Deployed(ssn), frames(2, size))


def test_the_fold_notices_a_changed_weight() -> None:
    """The check above can fail: a deployed form of other weights is not a fold."""
    ssn = small_supersimplenet()
    deployed = Deployed(ssn)
    with torch.no_grad():
        ssn.adaptor.bias[0] += 0.5  # type: ignore[index]
        difference = (ssn(frames(1, (64, 64))).maps - deployed(frames(1, (64, 64)))[1]).abs().max()
    assert float(difference) > 1e-3
