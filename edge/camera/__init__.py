"""Cameras, imported only when a configuration names them.

To add one, write a file with a class like `opencv.OpenCvCamera`, add a line to `CAMERAS` and its
configuration here: a configuration is read where the camera's own packages are not installed.

A live camera runs in a process of its own, a recording in that of its reader.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from edge.camera.base import Camera, EndOfRecording, LiveCamera
from edge.camera.genicam import GenicamSettings
from edge.camera.isolated import IsolatedCamera
from edge.camera.sdk import INSTALL
from edge.part.frame import Frame
from inspection.config.loading import ConfigPath, StrictModel
from inspection.config.plugins import Plugin, load_plugin
from inspection.errors import CameraError

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
    "live_camera_from_config",
]

CAMERAS = {
    kind: Plugin(f"edge.camera.{kind}", name, INSTALL[kind])
    for kind, name in {
        "replay": "ReplayCamera",
        "opencv": "OpenCvCamera",
        "pyav": "PyAvCamera",
        "gstreamer": "GstreamerCamera",
        "pylon": "PylonCamera",
        "aravis": "AravisCamera",
        "harvesters": "HarvestersCamera",
    }.items()
}

Seconds = Annotated[float, Field(gt=0)]


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


class LiveConfig(StrictModel):
    """What all live cameras share.

    Attributes:
        open_limit_s: how long it may take to open the camera.
        hung_limit_s: how long a call into the camera's SDK may overrun; then it counts as hung and
            the camera's process is ended.
        silent_limit_s: a camera that runs free and gives no frame for so long is lost; None waits.
            One that is triggered may be silent.
        stale_ms: an older frame is refused by name; None takes any.
    """

    kept_outside: ClassVar[frozenset[str]] = frozenset({"hung_limit_s", "silent_limit_s"})
    """The settings that the camera's class does not take."""

    open_limit_s: Seconds = 10.0
    hung_limit_s: Seconds = 5.0
    silent_limit_s: Seconds | None = 5.0
    stale_ms: Annotated[float, Field(gt=0)] | None = 500.0


class GenicamConfig(LiveConfig):
    """What all GenICam cameras share.

    Attributes:
        settings: written and read back at each opening.
    """

    kept_outside = LiveConfig.kept_outside | {"open_limit_s"}

    settings: GenicamSettings = GenicamSettings()


class OpenCvConfig(LiveConfig):
    """A V4L2 device (USB webcam, frame grabber), or a live address that OpenCV opens.

    Attributes:
        device: number of /dev/videoN, its path, or an address such as rtsp://.
        width: pixels; the device must take it exactly, as all the settings here.
        fourcc: V4L2 pixel format of four letters: YUYV, MJPG, GREY.
        exposure_us: switches the automatic exposure off; V4L2 counts in steps of 100 us.
        gain: in the device's own unit.
        stale_ms: of no effect: OpenCV gives frames no time.
    """

    kept_outside = LiveConfig.kept_outside | {"stale_ms"}

    kind: Literal["opencv"]
    device: Annotated[int, Field(ge=0)] | str = 0
    width: Annotated[int, Field(gt=0)] | None = None
    height: Annotated[int, Field(gt=0)] | None = None
    fourcc: Annotated[str, Field(min_length=4, max_length=4)] | None = None
    frame_rate_hz: Annotated[float, Field(gt=0)] | None = None
    exposure_us: Annotated[float, Field(ge=100)] | None = None
    gain: float | None = None


class PyAvConfig(LiveConfig):
    """A network camera: RTSP, or MJPEG over HTTP.

    Attributes:
        url: rtsp:// or http://; user and password as in rtsp://user:password@host.
        transport: of RTSP; udp loses frames where tcp delays them.
        colour: bgr, or grey: only the luma plane is taken.
        silent_limit_s: a stream that sends nothing for so long is lost.
        options: further options of FFmpeg for this protocol.
    """

    kept_outside = frozenset({"hung_limit_s"})

    kind: Literal["pyav"]
    url: str
    transport: Literal["tcp", "udp"] = "tcp"
    colour: Literal["bgr", "grey"] = "bgr"
    silent_limit_s: Seconds = 3.0
    options: dict[str, str] = Field(default_factory=dict)


class GstreamerConfig(LiveConfig):
    """Any GStreamer pipeline, such as nvarguscamerasrc on a Jetson.

    Attributes:
        pipeline: text for gst-launch up to the last converter; its last element must offer
            video/x-raw in BGR or GRAY8, which `videoconvert` does.
        silent_limit_s: None for a camera that is triggered; a pipeline cannot be asked.
    """

    kind: Literal["gstreamer"]
    pipeline: str


class PylonConfig(GenicamConfig):
    """A Basler camera.

    Attributes:
        serial: DeviceSerialNumber; None takes the only camera there is.
    """

    kind: Literal["pylon"]
    serial: Annotated[str, Field(coerce_numbers_to_str=True)] | None = None


class AravisConfig(GenicamConfig):
    """A GigE Vision or USB3 Vision camera of any maker.

    Attributes:
        camera: id as `linewarden camera list` prints it, serial number, or IP address; None takes
            the only camera there is.
        packet_bytes: GevSCPSPacketSize; None negotiates the largest that gets through.
    """

    kind: Literal["aravis"]
    camera: Annotated[str, Field(coerce_numbers_to_str=True)] | None = None
    packet_bytes: Annotated[int, Field(ge=576, le=16384)] | None = None


class HarvestersConfig(GenicamConfig):
    """A camera behind a GenTL producer (.cti file) of its maker.

    Attributes:
        producer: the .cti file; None takes those in the folders of GENICAM_GENTL64_PATH.
        serial: serial number or id; None takes the only camera there is.
    """

    kind: Literal["harvesters"]
    producer: ConfigPath | None = None
    serial: Annotated[str, Field(coerce_numbers_to_str=True)] | None = None


LiveCameraConfig = (
    OpenCvConfig | PyAvConfig | GstreamerConfig | PylonConfig | AravisConfig | HarvestersConfig
)
CameraConfig = Annotated[ReplayConfig | LiveCameraConfig, Field(discriminator="kind")]


def camera_from_config(config: CameraConfig) -> Camera:
    """The camera that `config` describes, not yet opened.

    Raises:
        CameraError: what a recording needs is not installed; a live camera tells it in `open`.
    """
    if isinstance(config, ReplayConfig):
        factory = load_plugin("camera", config.kind, CAMERAS, CameraError)
        recording: Camera = factory(config.path, loop=config.loop, rate_hz=config.rate_hz)
        return recording
    return IsolatedCamera(
        config.model_dump_json(),
        name=f"camera {config.kind!r}",
        open_limit_s=config.open_limit_s,
        hung_limit_s=config.hung_limit_s,
        silent_limit_s=config.silent_limit_s,
    )


def live_camera_from_config(config: LiveCameraConfig) -> LiveCamera:
    """The camera that `config` describes in this process, without time limits; not yet opened.

    Raises:
        CameraError: what the camera needs is not installed.
    """
    factory = load_plugin("camera", config.kind, CAMERAS, CameraError)
    outside = config.kept_outside | {"kind"}
    camera: LiveCamera = factory(**{name: value for name, value in config if name not in outside})
    return camera
