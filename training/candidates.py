"""The models that `linewarden teach` compares: forms of models with backbones."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from inspection.config.loading import load_config
from training.config import TrainConfig
from training.input_size import Size
from training.models import model_module
from training.weights_source import Source

Sections = dict[str, dict[str, Any]]

# Settings of each form beside the backbone.
FORMS: dict[str, dict[str, Any]] = {
    "memory": {"name": "memory"},
    "subspace": {"name": "subspace"},
    "mahalanobis": {"name": "subspace", "distance": "mahalanobis"},
    "subspace-per-layer": {"name": "subspace", "layers_joined": False, "variance": 0.95},
}
# The best pair on average over real defects (docs/measured/evidence.md). With ResNet-18 all forms
# are level there, and subspace is the one that can judge few images in turn.
_BEST_BACKBONE, _ITS_FORM, _OTHER_FORM = "tf_efficientnet_lite0.in1k", "memory", "subspace"
# Trained in the minutes that a person gives.
TRAINED = "supersimplenet"


class Features(NamedTuple):
    """What candidates with the same features share: a backbone, and the input's size."""

    source: Source
    size: Size


class Candidate(NamedTuple):
    """A form of a model, or TRAINED, with its features."""

    form: str
    features: Features


def best_first(sources: Sequence[Source]) -> list[Source]:
    """Orders backbones, the one of the default first."""
    return sorted(sources, key=lambda source: source.name != _BEST_BACKBONE)


def default_first(forms: Sequence[str], source: Source) -> list[str]:
    """Orders forms, the default with this backbone first."""
    default = _ITS_FORM if source.name == _BEST_BACKBONE else _OTHER_FORM
    return sorted(forms, key=lambda form: form != default)


def can_forget(form: str) -> bool:
    """Returns whether a model of this form can unlearn an image to judge it."""
    model = model_module(FORMS[form]["name"]).Model if form in FORMS else None
    return model is not None and model.can_forget


def configured(sections: Sections, given: Sequence[str] = ()) -> TrainConfig:
    """Returns a training configuration.

    Args:
        sections: settings of the sections data, model and fit.
        given: settings `a.b=value` of a person, which win.

    Raises:
        ConfigError: a setting does not exist or does not fit.
    """
    settings = [
        f"{section}.{key}={json.dumps(value)}"
        for section, values in sections.items()
        for key, value in values.items()
    ]
    return load_config(Path(os.devnull), TrainConfig, [*settings, *given])
