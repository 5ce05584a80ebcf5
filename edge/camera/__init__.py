"""The table of cameras.

To add a kind, write a file like `pylon` with the configuration, the driver and the install hint,
and add the configuration to `LiveCameraConfig`. The files import no package of a camera's maker: a
driver loads it when a configuration names the kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, get_args

from pydantic import Field

from edge.camera.aravis import AravisConfig
from edge.camera.base import Camera, EndOfRecording, LiveCamera
from edge.camera.factory import camera_from_config
from edge.camera.genicam_camera import GenicamConfig
from edge.camera.gstreamer import GstreamerConfig
from edge.camera.harvesters import HarvestersConfig
from edge.camera.kind import KindConfig
from edge.camera.opencv import OpenCvConfig
from edge.camera.pyav import PyAvConfig
from edge.camera.pylon import PylonConfig
from edge.camera.replay import ReplayConfig
from edge.part.frame import Frame

__all__ = [
    "CAMERAS",
    "AravisConfig",
    "Camera",
    "CameraConfig",
    "EndOfRecording",
    "Frame",
    "GenicamConfig",
    "GstreamerConfig",
    "HarvestersConfig",
    "LiveCamera",
    "LiveCameraConfig",
    "OpenCvConfig",
    "PyAvConfig",
    "PylonConfig",
    "ReplayConfig",
    "camera_from_config",
]

LiveCameraConfig = (
    OpenCvConfig | PyAvConfig | GstreamerConfig | PylonConfig | AravisConfig | HarvestersConfig
)
CameraConfig = Annotated[ReplayConfig | LiveCameraConfig, Field(discriminator="kind")]

CAMERAS: Mapping[str, type[KindConfig]] = {
    config.kind_name(): config for config in (ReplayConfig, *get_args(LiveCameraConfig))
}
