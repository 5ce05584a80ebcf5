"""Every model has a deployed form."""

from __future__ import annotations

from importlib import import_module

from torch import nn

from export.fold import FOLDS
from training.models import MODELS


def test_every_model_is_folded() -> None:
    assert FOLDS.keys() == MODELS.keys()
    for module in FOLDS.values():
        assert issubclass(import_module(module).Deployed, nn.Module)
