"""Settings of GenICam cameras by their names in the Standard Features Naming Convention (SFNC).

The drivers of Basler pylon, Aravis and harvesters share this file.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Literal, Protocol

from pydantic import Field

from edge.camera.faults import CameraSettingError
from inspection.config.loading import StrictModel

Value = bool | int | float | str

_RELATIVE, _ABSOLUTE = 0.02, 0.1  # cameras round exposure to rows and gain to steps
_SHOWN = (
    "DeviceVendorName",
    "DeviceModelName",
    "DeviceSerialNumber",
    "DeviceID",
    "DeviceFirmwareVersion",
    "DeviceUserID",
    "DeviceTemperature",
    "PixelFormat",
    "Width",
    "Height",
    "OffsetX",
    "OffsetY",
    "WidthMax",
    "HeightMax",
    "ExposureAuto",
    "ExposureTime",
    "ExposureTimeAbs",
    "GainAuto",
    "Gain",
    "AcquisitionFrameRateEnable",
    "AcquisitionFrameRate",
    "AcquisitionFrameRateAbs",
    "ResultingFrameRate",
    "TriggerSelector",
    "TriggerMode",
    "TriggerSource",
    "TriggerActivation",
    "UserSetSelector",
    "GevSCPSPacketSize",
    "DeviceLinkThroughputLimit",
)


class TriggerSettings(StrictModel):
    """The trigger of each frame.

    Attributes:
        source: Line1, Line2, ..., or Software: `linewarden run` fires it.
        activation: edge of the line; Software has none.
        delay_us: TriggerDelay, from the edge to the exposure.
    """

    source: str = "Line1"
    activation: Literal["RisingEdge", "FallingEdge", "AnyEdge", "LevelHigh", "LevelLow"] = (
        "RisingEdge"
    )
    delay_us: Annotated[float, Field(ge=0)] | None = None


class GenicamSettings(StrictModel):
    """The settings that a recipe writes; None leaves the value that the camera has.

    Attributes:
        user_set: UserSetSelector; loaded first: Default, UserSet1.
        pixel_format: PFNC name such as Mono8 or BayerRG12p.
        width: pixels; together with `height`, `offset_x` and `offset_y` the region of the sensor.
        exposure_us: ExposureTime in microseconds; switches ExposureAuto off.
        gain_db: Gain in decibel, or in the unit of the camera's manual; switches GainAuto off.
        frame_rate_hz: AcquisitionFrameRate, for a camera that runs free.
        trigger: None keeps the trigger of the user set; without a user set the camera runs free.
        features: other features by SFNC name, written in this order, before the trigger.
    """

    user_set: str | None = None
    pixel_format: str | None = None
    width: Annotated[int, Field(gt=0)] | None = None
    height: Annotated[int, Field(gt=0)] | None = None
    offset_x: Annotated[int, Field(ge=0)] | None = None
    offset_y: Annotated[int, Field(ge=0)] | None = None
    exposure_us: Annotated[float, Field(gt=0)] | None = None
    gain_db: float | None = None
    frame_rate_hz: Annotated[float, Field(gt=0)] | None = None
    trigger: TriggerSettings | None = None
    features: Mapping[str, Value] = Field(default_factory=dict)


class Features(Protocol):
    """The feature tree of one open camera."""

    def has(self, name: str) -> bool:
        """True when the camera has the feature and it is usable in the present state."""

    def get(self, name: str) -> Value:
        """Returns the value; CameraSettingError when the camera cannot read it."""

    def set(self, name: str, value: Value) -> None:
        """Writes the value; CameraSettingError with the SDK's message when it is refused."""

    def execute(self, name: str) -> None:
        """Runs a command to its end; CameraSettingError when the camera refuses it."""


def apply(features: Features, settings: GenicamSettings, camera: str) -> None:
    """Writes the settings in an order that cameras accept, and reads each back.

    Raises:
        CameraSettingError: lists every setting that the camera did not accept, by its SFNC name.
    """
    refused: list[str] = []
    if settings.user_set is not None:
        _attempt(features, "UserSetSelector", settings.user_set, refused)
        _load_user_set(features, refused)
    for name, value in _wanted(features, settings):
        _attempt(features, name, value, refused)
    if refused:
        raise CameraSettingError(
            f"{camera}: the camera did not accept {'; '.join(refused)}. "
            "'linewarden camera show' prints its settings"
        )


def readable(features: Features) -> dict[str, object]:
    """Returns the well-known features of this camera with their values."""
    found: dict[str, object] = {}
    for name in _SHOWN:
        try:
            if features.has(name):
                found[name] = features.get(name)
        except CameraSettingError as error:
            found[name] = f"cannot be read: {error}"
    return found


def wait_until(is_done: Callable[[], bool], command: str, limit_s: float = 5.0) -> None:
    """Waits for the end of a command.

    Raises:
        CameraSettingError: the command is not done within `limit_s`.
    """
    until_s = time.monotonic() + limit_s
    while not is_done():
        if time.monotonic() > until_s:
            raise CameraSettingError(f"{command} is not done within {limit_s:g} s")
        time.sleep(0.005)


def tick_ns(features: Features) -> float:
    """Returns the unit of the camera's time stamps in ns: GigE counts ticks, USB3 nanoseconds."""
    for name in ("GevTimestampTickFrequency", "TimestampTickFrequency"):
        if features.has(name):
            return 1e9 / float(features.get(name))
    return 1.0


def words_of(error: Exception) -> str:
    """Returns the message of an SDK's error without the source location that GenApi adds."""
    return re.sub(r" : \w*Exception thrown .*", "", str(getattr(error, "message", error))).strip()


def _wanted(features: Features, settings: GenicamSettings) -> Iterator[tuple[str, Value]]:
    """Yields names and values in the order of writing."""
    # A generator, because a write can change which features the camera has.
    if features.has("TriggerMode") and (settings.trigger or settings.user_set is None):
        if features.has("TriggerSelector"):
            yield "TriggerSelector", "FrameStart"
        yield "TriggerMode", "Off"
    if settings.pixel_format is not None:
        yield "PixelFormat", settings.pixel_format
    yield from _region(features, settings)  # its steps depend on the pixel format
    if settings.exposure_us is not None:
        yield from _off(features, "ExposureAuto")
        yield _first(features, "ExposureTime", "ExposureTimeAbs"), settings.exposure_us
    if settings.gain_db is not None:
        yield from _off(features, "GainAuto")
        yield "Gain", settings.gain_db
    if settings.frame_rate_hz is not None:
        if features.has("AcquisitionFrameRateEnable"):
            yield "AcquisitionFrameRateEnable", True
        name = _first(features, "AcquisitionFrameRate", "AcquisitionFrameRateAbs")
        yield name, settings.frame_rate_hz
    yield from settings.features.items()
    if settings.trigger is not None:
        yield from _trigger(features, settings.trigger)


def _region(features: Features, settings: GenicamSettings) -> Iterator[tuple[str, Value]]:
    # To the origin first, and the size before the offset: else the region leaves the sensor.
    sizes = (("Width", settings.width), ("Height", settings.height))
    offsets = (("OffsetX", settings.offset_x), ("OffsetY", settings.offset_y))
    if any(value is not None for _, value in sizes + offsets):
        for name, _ in offsets:
            if features.has(name):
                yield name, 0
    for name, value in sizes + offsets:
        if value is not None:
            yield name, value


def _trigger(features: Features, trigger: TriggerSettings) -> Iterator[tuple[str, Value]]:
    yield "TriggerSource", trigger.source
    if trigger.source != "Software":
        yield "TriggerActivation", trigger.activation
    if trigger.delay_us is not None:
        yield _first(features, "TriggerDelay", "TriggerDelayAbs"), trigger.delay_us
    yield "TriggerMode", "On"


def _off(features: Features, name: str) -> Iterator[tuple[str, Value]]:
    if features.has(name):
        yield name, "Off"


def _first(features: Features, *names: str) -> str:
    """Returns the name that this camera has: older ones have ExposureTimeAbs."""
    return next((name for name in names if features.has(name)), names[0])


def _load_user_set(features: Features, refused: list[str]) -> None:
    try:
        features.execute("UserSetLoad")
    except CameraSettingError as error:
        refused.append(f"UserSetLoad ({error})")


def _attempt(features: Features, name: str, value: Value, refused: list[str]) -> None:
    try:
        if not features.has(name):
            refused.append(f"{name}={value} (the camera has no such feature, or not in this state)")
            return
        features.set(name, value)
        taken = features.get(name)
    except CameraSettingError as error:
        refused.append(f"{name}={value} ({error})")
        return
    if not _agree(value, taken):
        refused.append(f"{name}={value} (it took {taken})")


def _agree(wanted: Value, taken: Value) -> bool:
    if isinstance(wanted, float) and not isinstance(taken, bool | str):
        return math.isclose(wanted, taken, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)
    return wanted == taken
