"""The table of models.

To add one, write a file as `training.models.base` describes, and add a line to `MODELS`.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

MODELS = {
    "differnet": "training.models.differnet",
    "differnet_spatial": "training.models.differnet_spatial",
    "ganomaly": "training.models.ganomaly",
    "memory": "training.models.memory",
    "simplenet": "training.models.simplenet",
    "subspace": "training.models.subspace",
    "supersimplenet": "training.models.supersimplenet",
    "uniad": "training.models.uniad",
}


def model_module(name: str) -> ModuleType:
    """Returns the module of model `name`, with its `Config` and `Model`."""
    return import_module(MODELS[name])
