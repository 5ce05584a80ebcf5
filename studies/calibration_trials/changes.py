"""Changes of real frames, step by step, as light, focus, position and texture change on a line."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from inspection.images import decode_image, encode_jpeg

Image = npt.NDArray[np.uint8]
Change = Callable[[Image], Image]

AS_IS = "as it is"


def dimmed(image: Image, *, share: float) -> Image:
    """Takes away a share of the light."""
    return np.asarray((image * (1 - share)).round(), dtype=np.uint8)


def blurred(image: Image, *, sigma_px: float) -> Image:
    """Blurs by a Gaussian of this deviation, in pixels of the frame."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), dtype=np.uint8)


def shifted(image: Image, *, pixels: int) -> Image:
    """Shifts to the right, and repeats the edge."""
    move = np.array([[1, 0, pixels], [0, 1, 0]], dtype=np.float64)
    size = (image.shape[1], image.shape[0])
    moved = cv2.warpAffine(image, move, size, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, dtype=np.uint8)


def grainy(image: Image, *, deviation: float) -> Image:
    """Adds Gaussian noise, in grey levels, like a sensor or the grain of a surface."""
    grain = np.random.default_rng(0).normal(0, deviation, image.shape)
    return np.asarray(np.clip(image + grain, 0, 255).round(), dtype=np.uint8)


def compressed(image: Image, *, quality: int) -> Image:
    """Adds the artefacts of JPEG at a quality."""
    return decode_image(encode_jpeg(image, quality), "JPEG")


CHANGES: dict[str, Change] = {
    AS_IS: lambda image: image,
    **{f"light -{s:.0%}": partial(dimmed, share=s) for s in (0.02, 0.05, 0.1, 0.2)},
    **{f"focus {s:g} px": partial(blurred, sigma_px=s) for s in (1, 2, 3, 5)},
    **{f"position {p} px": partial(shifted, pixels=p) for p in (2, 5, 10, 20)},
    **{f"texture grain {d}": partial(grainy, deviation=d) for d in (3, 6, 12, 24)},
    **{f"texture JPEG {q}": partial(compressed, quality=q) for q in (50, 20, 10, 5)},
}
