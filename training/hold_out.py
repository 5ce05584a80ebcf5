"""How many good images judge the threshold of a model in closed form. Imports no torch."""

from __future__ import annotations

import math

FEW = 20  # good images up to which none is held out from a model in closed form


def hold_out_share(images: int) -> float:
    """Returns the share of good images to hold out from a model in closed form; 0 for few."""
    if images <= FEW:
        return 0.0
    return 0.3 if images < 50 else 0.2


def held_out(images: int, share: float) -> int:
    """Returns how many of different images are held out: at least one, and not all; 0 for 0."""
    return min(max(1, math.ceil(share * images)), images - 1) if share else 0


def judging(images: int) -> int:
    """Returns how many of different good images judge the threshold of a model in closed form.

    Of few images each is judged by a model of the others.
    """
    return held_out(images, hold_out_share(images)) or images
