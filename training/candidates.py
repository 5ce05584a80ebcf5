"""The models that `linewarden teach` compares: forms of closed-form models, backbones and sizes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from training.config import TrainConfig
from training.input_size import Size
from training.models import MODELS
from training.weights_source import Source

Sections = dict[str, dict[str, Any]]

# Settings of each form beside the backbone; one whose model is not in the table is left out.
FORMS: dict[str, dict[str, Any]] = {
    "subspace": {"name": "subspace"},
    "subspace per layer": {"name": "subspace", "layers_joined": False, "variance": 0.95},
    "mahalanobis": {"name": "subspace", "distance": "mahalanobis"},
    "memory": {"name": "memory"},
}


class Candidate(NamedTuple):
    """A form of a model with a backbone and an input size."""

    form: str
    source: Source
    size: Size

    def config(self, fixed: Sections) -> TrainConfig:
        """Returns the training of this candidate.

        Args:
            fixed: the given settings of the sections data and fit.
        """
        backbone = {"name": self.source.name, "weights": self.source.weights}
        return TrainConfig.model_validate(
            {
                "data": {**fixed["data"], "image_size": self.size},
                "model": {**FORMS[self.form], "backbone": backbone},
                "fit": fixed["fit"],
            }
        )


class Features(NamedTuple):
    """What candidates with the same features share."""

    source: Source
    size: Size

    @property
    def area(self) -> int:
        """Returns the number of pixels of the input."""
        return self.size[0] * self.size[1]


def forms_at_hand(chosen: Collection[str] = ()) -> list[str]:
    """Returns the forms whose model is in the table, those `chosen` or all."""
    return [
        form
        for form, settings in FORMS.items()
        if settings["name"] in MODELS and (not chosen or form in chosen)
    ]


def grouped(sources: Sequence[Source], sizes: Sequence[Size]) -> list[Features]:
    """Returns all features to compare."""
    return [Features(source, size) for size in sizes for source in sources]
