"""Cameras, imported only when a configuration names them.

To add one, write a file with a class like `replay.ReplayCamera`, add a line to `CAMERAS` and its
configuration here: a configuration is read where the camera's own packages are not installed.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edge.camera.base import Camera, EndOfRecording, Frame
from edge.config import ConfigPath, StrictModel
from edge.errors import CameraError
from edge.plugins import Plugin, load_plugin

__all__ = [
    "CAMERAS",
    "Camera",
    "CameraConfig",
    "EndOfRecording",
    "Frame",
    "ReplayConfig",
    "camera_from_config",
]

CAMERAS = {
    "replay": Plugin("edge.camera.replay", "ReplayCamera", "pip install linewarden"),
}


class ReplayConfig(StrictModel):
    """A recording instead of a camera.

    Attributes:
        path: folder of images, glob of images ("parts/*.png"), or a video file.
        loop: start again after the last frame.
        rate_hz: frames per second; None reads them as fast as they are taken.
    """

    kind: Literal["replay"]
    path: ConfigPath
    loop: bool = False
    rate_hz: Annotated[float, Field(gt=0)] | None = None


# The second kind makes this a union with Field(discriminator="kind").
CameraConfig = ReplayConfig


def camera_from_config(config: CameraConfig) -> Camera:
    """The camera that `config` describes, not yet opened.

    Raises:
        CameraError: what the camera needs is not installed.
    """
    factory = load_plugin("camera", config.kind, CAMERAS, CameraError)
    settings = {name: value for name, value in config if name != "kind"}
    camera: Camera = factory(**settings)
    return camera
