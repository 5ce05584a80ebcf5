"""One frame as a camera gave it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inspection.images import Window


@dataclass(frozen=True)
class Frame:
    """One frame as the camera gave it.

    Attributes:
        image: uint8, (H, W) grey or (H, W, 3) BGR; owned by the receiver.
        captured_ns: `time.monotonic_ns()` when the frame was complete.
        sequence: counts the frames of this camera since it was opened, from 0.
        source: where it came from, for the record: a file name, a camera's serial number.
        window: conversion of the camera's 10 to 16 bits to the 8 of the image; None for 8 bits.
    """

    image: npt.NDArray[np.uint8]
    captured_ns: int
    sequence: int
    source: str
    window: Window | None = None
