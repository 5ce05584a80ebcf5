"""V4L2 devices through `cv2.VideoCapture`.

OpenCV hides faults: a refused setting "succeeds", a dead device stays "open", and half a JPEG is a
frame. The driver therefore reads every setting back, sets the time limit of the backend, decodes
the JPEG of a device itself, and reads on a thread that keeps the newest frame only.

Streams of the network are not for OpenCV, which scales a stream whose size changes to its first
size and gives frames of which parts are missing: they are of `kind: pyav`.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field, model_validator

from edge.camera.faults import (
    CameraLostError,
    CameraNotFoundError,
    CameraSettingError,
    PartialFrameError,
    WrongFrameError,
)
from edge.camera.kind import Found, LiveConfig, only_camera
from edge.camera.newest import NewestFrame
from edge.part.frame import Frame
from inspection.config.claims import Claim
from inspection.config.secret import hidden_problem
from inspection.errors import CameraError, FrameError
from inspection.images import decode_image

_READ_LIMIT_S = 2.0
_CLOSE_LIMIT_S = 2 * _READ_LIMIT_S
_MANUAL_EXPOSURE = 1  # V4L2_EXPOSURE_MANUAL
_EXPOSURE_STEP_US = 100.0  # V4L2_CID_EXPOSURE_ABSOLUTE
_TOLERANCE = 0.02
_DEEP = {"Y10 ": 10, "Y12 ": 12, "Y16 ": 16}  # V4L2_PIX_FMT_Y10 and others -> bits
_DAMAGED_AT_FIRST = 5  # frames


def _in_dev(device: str) -> str:
    if "://" in device:
        raise hidden_problem(
            "is an address on the network, where OpenCV scales frames and conceals damage: take "
            "kind: pyav, with the address as url"
        )
    if not device.startswith("/dev/"):
        raise hidden_problem(
            "should be the number of /dev/videoN or a path in /dev; a video file is of kind: replay"
        )
    return device


class OpenCvConfig(LiveConfig):
    """The settings of a V4L2 device: a USB webcam, a frame grabber.

    Attributes:
        device: number of /dev/videoN, or its path.
        width: pixels; the device must accept it exactly, like every setting here.
        fourcc: V4L2 pixel format of four letters: YUYV, MJPG, GREY; with a window "Y10 ", "Y12 " or
            "Y16 ", which end in a space.
        exposure_us: switches the automatic exposure off; V4L2 counts in steps of 100 us.
        gain: in the unit of the device.
        stale_ms: without effect: OpenCV gives frames no time stamp.
    """

    kind: Literal["opencv"]
    device: Annotated[int, Field(ge=0)] | Annotated[str, AfterValidator(_in_dev)] = 0
    width: Annotated[int, Field(gt=0)] | None = None
    height: Annotated[int, Field(gt=0)] | None = None
    fourcc: Annotated[str, Field(min_length=4, max_length=4)] | None = None
    frame_rate_hz: Annotated[float, Field(gt=0)] | None = None
    exposure_us: Annotated[float, Field(ge=100)] | None = None
    gain: float | None = None

    @model_validator(mode="after")
    def _window_fits_the_format(self) -> OpenCvConfig:
        bits = _DEEP.get(self.fourcc or "", 8)
        if (bits > 8) != (self.window is not None):
            formats = ", ".join(f"'{name}'" for name in _DEEP)
            raise ValueError(f"window should be set with fourcc {formats}, and with no other")
        if self.window is not None and self.window.high >= 1 << bits:
            raise ValueError(f"window.high should be below {1 << bits}: the format has {bits} bits")
        return self

    def claims(self) -> Iterable[Claim]:
        """Returns the claim to the device, which links of udev name too, or to the stream."""
        device = f"/dev/video{self.device}" if isinstance(self.device, int) else self.device
        yield Claim(("device",), only_camera("opencv", os.path.realpath(device)))

    @classmethod
    def discover(cls, devices: Path = Path("/sys/class/video4linux")) -> list[Found]:
        """Returns the V4L2 devices that capture video; `devices` is the kernel's list of them."""
        found = []
        for node in sorted(devices.glob("video*")):
            model = (node / "name").read_text().strip()
            is_capture = (node / "index").read_text().strip() == "0"  # the others give metadata
            if is_capture:
                device = f"/dev/{node.name}"
                found.append(Found("opencv", device, (), model, f"device: {device}"))
        return found

    def driver(self) -> OpenCvCamera:
        """Implements `KindConfig.driver`."""
        return OpenCvCamera(self)


class OpenCvCamera:
    """A device. Its driver has no limit for the time to open it."""

    waits = False
    runs_free = True

    def __init__(self, config: OpenCvConfig) -> None:
        device = config.device
        self._device = f"/dev/video{device}" if isinstance(device, int) else device
        self._fourcc = config.fourcc
        self._window = config.window
        self._wanted = _settings(config)
        self._capture: cv2.VideoCapture | None = None
        self._is_jpeg = False
        self._newest: NewestFrame | None = None
        self._shape: tuple[int, ...] = ()

    def open(self) -> None:
        """Opens the device, writes the settings and reads them back, and waits for a frame."""
        self.close()
        self._capture = self._opened()
        try:
            self._set(self._capture)
            self._shape = self._first(self._capture).image.shape
        except CameraError:
            self.close()
            raise
        capture = self._capture
        self._newest = NewestFrame(lambda: self._checked(self._grab(capture)), self._device)

    def read(self, timeout_s: float) -> Frame | None:
        """Returns the newest frame."""
        if self._newest is None:
            raise CameraError(f"{self._device}: the camera is not open")
        return self._newest.take(timeout_s)

    def close(self) -> None:
        """Stops the thread and releases the device, within 4 s."""
        newest, self._newest = self._newest, None
        capture, self._capture = self._capture, None
        # Releasing a capture that another thread reads crashes the process.
        if (newest is None or newest.stop(_CLOSE_LIMIT_S)) and capture is not None:
            capture.release()

    def describe(self) -> Mapping[str, object]:
        """Returns size, format, rate, exposure and gain as the device reports them."""
        if self._capture is None:
            raise CameraError(f"{self._device}: the camera is not open")
        return {
            "device": self._device,
            "backend": self._capture.getBackendName(),
            "width": int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            "height": int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
            "fourcc": _name_of(self._capture.get(cv2.CAP_PROP_FOURCC)),
            "frame_rate_hz": self._capture.get(cv2.CAP_PROP_FPS),
            "exposure_us": self._capture.get(cv2.CAP_PROP_EXPOSURE) * _EXPOSURE_STEP_US,
            "gain": self._capture.get(cv2.CAP_PROP_GAIN),
        }

    def _opened(self) -> cv2.VideoCapture:
        if not Path(self._device).exists():
            raise CameraNotFoundError(
                f"{self._device}: no such device; 'linewarden camera list' shows the cameras"
            )
        limits = [cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(_READ_LIMIT_S * 1000)]
        capture = cv2.VideoCapture(self._device, cv2.CAP_V4L2, limits)
        if not capture.isOpened():
            raise CameraNotFoundError(
                f"{self._device}: OpenCV cannot open it; another program may hold it, or it is not "
                "a camera"
            )
        return capture

    def _set(self, capture: cv2.VideoCapture) -> None:
        refused = []
        if self._fourcc is not None:
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*self._fourcc))
            if (taken := _name_of(capture.get(cv2.CAP_PROP_FOURCC))) != self._fourcc:
                refused.append(f"fourcc={self._fourcc} (it took {taken})")
        self._is_jpeg = _name_of(capture.get(cv2.CAP_PROP_FOURCC)) in ("MJPG", "JPEG")
        if self._is_jpeg or self._fourcc == "GREY" or self._window is not None:
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)  # gives the bytes of the device
        for _, number, value in self._wanted:
            capture.set(number, value)
        for name, number, value in self._wanted:
            if not math.isclose(capture.get(number), value, rel_tol=_TOLERANCE):
                refused.append(f"{name}={value:g} (it took {capture.get(number):g})")
        if refused:
            raise CameraSettingError(
                f"{self._device}: the device did not accept {'; '.join(refused)}. "
                "'v4l2-ctl --list-formats-ext --list-ctrls' lists its formats and controls"
            )

    def _grab(self, capture: cv2.VideoCapture) -> Frame:
        taken, image = capture.read()
        captured_ns = time.monotonic_ns()
        if not taken:
            raise CameraLostError(f"{self._device}: {self._why_lost()}; open the camera again")
        if self._is_jpeg:
            return Frame(self._decoded(image), captured_ns, 0, self._device)
        if image.ndim == 3 and image.shape[2] == 1:
            image = image[:, :, 0]
        if image.dtype != (np.uint8 if self._window is None else np.uint16):
            formats = "GREY, YUYV or MJPG" if self._window is None else "a deep format"
            raise WrongFrameError(
                f"{self._device}: gives {image.dtype} pixels; set fourcc to {formats}"
            )
        # Both are copies: OpenCV may keep its buffer.
        if self._window is None:
            frame = np.array(image, np.uint8)
        else:
            frame = self._window.apply(image.view(np.uint16))
        return Frame(frame, captured_ns, 0, self._device, self._window)

    def _first(self, capture: cv2.VideoCapture) -> Frame:
        """Returns the first whole frame: many devices begin with a part of one."""
        for _ in range(_DAMAGED_AT_FIRST):
            with contextlib.suppress(PartialFrameError):
                return self._grab(capture)
        return self._grab(capture)

    def _decoded(self, content: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
        # OpenCV's own reader of a device fills the missing part of a JPEG with grey.
        try:
            return decode_image(content.tobytes().rstrip(b"\0"), self._device)
        except FrameError as error:
            raise PartialFrameError(
                f"{error}; the device lost a part of the frame: check its cable, and take other "
                "devices off its USB controller"
            ) from error

    def _checked(self, frame: Frame) -> Frame:
        if frame.image.shape != self._shape:
            raise WrongFrameError(
                f"{self._device}: a frame of {frame.image.shape}, and it was opened with "
                f"{self._shape}; open the camera again"
            )
        return frame

    def _why_lost(self) -> str:
        if not Path(self._device).exists():
            return "the device was unplugged"
        return f"gave no frame for {_READ_LIMIT_S:g} s, or ended its stream"


def _settings(config: OpenCvConfig) -> list[tuple[str, int, float]]:
    """Returns names, property numbers and values in the order of writing."""
    exposure_us = config.exposure_us
    manual = None if exposure_us is None else _MANUAL_EXPOSURE
    steps = None if exposure_us is None else exposure_us / _EXPOSURE_STEP_US
    wanted = (
        ("width", cv2.CAP_PROP_FRAME_WIDTH, config.width),
        ("height", cv2.CAP_PROP_FRAME_HEIGHT, config.height),
        ("frame_rate_hz", cv2.CAP_PROP_FPS, config.frame_rate_hz),
        ("auto_exposure", cv2.CAP_PROP_AUTO_EXPOSURE, manual),
        ("exposure in 100 us", cv2.CAP_PROP_EXPOSURE, steps),
        ("gain", cv2.CAP_PROP_GAIN, config.gain),
    )
    return [(name, number, value) for name, number, value in wanted if value is not None]


def _name_of(fourcc: float) -> str:
    return int(fourcc).to_bytes(4, "little").decode("latin-1")
