"""The table of models.

To add one, write a file as `training.models.base` describes and add a line to `MODELS`.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

MODELS = {
    "differnet": "training.models.differnet",
    "differnet_spatial": "training.models.differnet_spatial",
    "ganomaly": "training.models.ganomaly",
    "simplenet": "training.models.simplenet",
    "supersimplenet": "training.models.supersimplenet",
    "uniad": "training.models.uniad",
}


def model_module(name: str) -> ModuleType:
    """The module of model `name`, which offers `Config` and `Model`."""
    return import_module(MODELS[name])
