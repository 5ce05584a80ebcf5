"""Frames and figures to focus and expose a camera by, without a line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from edge.camera.base import Camera, EndOfRecording
from edge.camera.faults import UNUSABLE_MAX, CameraLostError
from edge.camera.genicam import GenicamSettings
from edge.camera.isolated import IsolatedCamera
from edge.camera.kind import LiveConfig
from edge.camera.replay import ReplayConfig
from edge.part.frame import Frame
from inspection.errors import CameraError, FrameError


class Measured(NamedTuple):
    """Figures of one frame; shares are 0 to 1."""

    sharpness: float
    mean: float
    saturated: float
    black: float


def measured(image: npt.NDArray[np.uint8]) -> Measured:
    """Returns the figures of a frame, (H, W) grey or (H, W, 3) BGR.

    Sharpness: variance of the Laplacian (Pech-Pacheco et al., ICPR 2000), with OpenCV's 3x3.
    """
    is_colour = image.ndim == 3
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if is_colour else image
    highest = image.max(axis=2) if is_colour else image
    lowest = image.min(axis=2) if is_colour else image
    return Measured(
        sharpness=float(cv2.Laplacian(grey, cv2.CV_32F).var()),
        mean=float(grey.mean()),
        saturated=float((highest == 255).mean()),
        black=float((lowest == 0).mean()),
    )


def frames(
    camera: Camera,
    config: ReplayConfig | LiveConfig,
    timeout_s: float,
    on_bad_frame: Callable[[FrameError], object],
) -> Iterator[Frame]:
    """Yields frames until a recording ends, and triggers a camera that waits for the program.

    Raises:
        CameraError: no frame came in time, the camera is lost, or it gives no usable frame.
    """
    settings = getattr(config, "settings", None)
    trigger = settings.trigger if isinstance(settings, GenicamSettings) else None
    is_software = trigger is not None and trigger.source == "Software"
    errors = 0
    while errors < UNUSABLE_MAX:
        if is_software and isinstance(camera, IsolatedCamera):
            camera.trigger()
        try:
            frame = camera.read(timeout_s)
        except FrameError as error:
            on_bad_frame(error)
            errors += 1
            continue
        except EndOfRecording:
            return
        if frame is None:
            if isinstance(camera, IsolatedCamera):
                camera.describe()  # raises when the camera does not answer
            what = f"trigger on {trigger.source}" if trigger else "frame"
            raise CameraError(f"no {what} within {timeout_s:g} s, and the camera is there")
        errors = 0
        yield frame
    raise CameraLostError(f"{UNUSABLE_MAX} unusable frames one after the other")
