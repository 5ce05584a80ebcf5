"""How many good images judge the threshold of a model in closed form. Imports no torch."""

from __future__ import annotations

import math

# Good images that judge a threshold, if there are as many; more do when a fifth of all is more.
JUDGES = 20


def hold_out_share(images: int, *, in_turn: bool) -> float:
    """Returns the share of good images to hold out from a model in closed form; 0 for none.

    Up to `JUDGES` images are all learnt, where each can be judged in turn by a model of the others.
    Beyond, the model may be one that cannot forget an image, and models are compared: at most one
    half is held out. docs/guides/models.md has the measurement behind it.

    Args:
        images: different ones, or parts where there are several images of a part; at least 1.
        in_turn: whether the model can judge images in turn.
    """
    if in_turn and images <= JUDGES:
        return 0.0
    return min(0.5, max(JUDGES / images, 0.2))


def held_out(images: int, share: float) -> int:
    """Returns how many of different images are held out: at least one, and not all; 0 for 0."""
    wanted = math.ceil(round(share * images, 6))  # 20 / 67 of 67 images are 20, not 21
    return min(max(1, wanted), images - 1) if share else 0


def judging(images: int) -> int:
    """Returns how many of different good images judge the threshold of a model in closed form.

    One image more never makes them fewer, but for the first beyond `JUDGES`.
    """
    return held_out(images, hold_out_share(images, in_turn=True)) or images
