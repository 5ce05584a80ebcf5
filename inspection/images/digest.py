"""The digest of a picture, whatever file holds it."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt


def sha256_of_pixels(image: npt.NDArray[np.integer[Any]]) -> str:
    """Returns the SHA-256 of the shape and the pixels of an image, 64 hexadecimal digits.

    Copies of a picture in other formats or with other metadata have the same one.
    """
    digest = hashlib.sha256(f"{image.dtype} {image.shape}\n".encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()
