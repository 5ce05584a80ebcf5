"""A bundle: one model with its artefacts, golden frames, engines and calibrations."""

from inspection.bundle.bundle import REFERENCE_ARTEFACT, Bundle, calibrated_recipes, open_bundle
from inspection.bundle.chosen import (
    Chosen,
    chosen_here,
    computed_precision,
    engine_of,
    obstacle_on,
    require_decides,
)
from inspection.bundle.manifest import Artefact

__all__ = [
    "REFERENCE_ARTEFACT",
    "Artefact",
    "Bundle",
    "Chosen",
    "calibrated_recipes",
    "chosen_here",
    "computed_precision",
    "engine_of",
    "obstacle_on",
    "open_bundle",
    "require_decides",
]
