"""Basler cameras through pypylon."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from edge.camera.acquired import Acquired, Acquisition
from edge.camera.base import Frame
from edge.camera.discovery import Found, only_one
from edge.camera.faults import (
    CameraLostError,
    CameraNotFoundError,
    CameraSettingError,
    PartialFrameError,
)
from edge.camera.genicam import GenicamSettings, Value, apply, readable, wait_until, words_of
from edge.camera.sdk import load_sdk
from edge.errors import CameraError

_log = logging.getLogger(__name__)
_BUFFERS = 8
_TRIGGER_LIMIT_S = 1.0
_NO_BLOCK_ID = 2**64 - 1


class PylonCamera:
    """A Basler camera; see `PylonConfig`.

    With a trigger every frame comes, in order, and those that the camera counted and that are
    missing come as errors. Running free, only the newest frame is kept.

    Args:
        open_limit_s: of no effect: `GuardedCamera` keeps it.
        stale_ms: a frame that lags more behind the least delayed one is refused.
    """

    waits = False

    def __init__(
        self,
        *,
        serial: str | None = None,
        settings: GenicamSettings | None = None,
        open_limit_s: float = 10.0,
        stale_ms: float | None = 500.0,
    ) -> None:
        del open_limit_s
        self._pylon = load_sdk("pylon", "pypylon.pylon")
        self._genicam = load_sdk("pylon", "pypylon.genicam")
        self._serial = serial
        self._settings = settings or GenicamSettings()
        self._stale_ms = stale_ms
        self._name = f"pylon {serial or 'camera'}"
        self._camera: Any = None
        self._features: PylonFeatures | None = None
        self._acquisition: Acquisition | None = None
        self._tick_ns = 1.0

    def open(self) -> None:
        """Find, set and start the camera; see `Camera.open`."""
        self.close()
        try:
            self._connect()
            apply(self._features_open(), self._settings, self._name)
            self._start()
        except self._genicam.GenericException as error:
            self.close()
            raise CameraNotFoundError(
                f"{self._name}: cannot be opened ({words_of(error)}); another program may hold it, "
                "or one that crashed did: then it is free after its heartbeat, about 3 s"
            ) from error
        except CameraError:
            self.close()
            raise

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame with a trigger, else the newest; see `Camera.read`."""
        if self._acquisition is None:
            raise CameraError(f"{self._name}: the camera is not open")
        if (waiting := self._acquisition.take()) is not None:
            return waiting
        try:
            result = self._camera.RetrieveResult(
                round(timeout_s * 1000), self._pylon.TimeoutHandling_Return
            )
            try:
                self._accept(result, self._acquisition)
            finally:
                result.Release()
        except self._genicam.GenericException as error:
            raise CameraLostError(
                f"{self._name}: lost ({words_of(error)}); open it again"
            ) from error
        return self._acquisition.take()

    def trigger(self) -> None:
        """Execute TriggerSoftware as soon as the camera takes it; from any thread.

        Raises:
            CameraError: it is still busy with the trigger before.
        """
        features, camera = self._features_open(), self._camera
        limit_ms, returns = round(_TRIGGER_LIMIT_S * 1000), self._pylon.TimeoutHandling_Return
        try:
            is_ready = not camera.CanWaitForFrameTriggerReady() or camera.WaitForFrameTriggerReady(
                limit_ms, returns
            )
        except self._genicam.GenericException as error:
            raise CameraLostError(
                f"{self._name}: lost ({words_of(error)}); open it again"
            ) from error
        if not is_ready:
            raise CameraError(f"{self._name}: not ready for a trigger in {_TRIGGER_LIMIT_S:g} s")
        features.execute("TriggerSoftware")

    def close(self) -> None:
        """See `Camera.close`; pylon can hang here after an unplug: `GuardedCamera` limits it."""
        camera, self._camera = self._camera, None
        self._features = self._acquisition = None
        if camera is None:
            return
        try:
            camera.StopGrabbing()
            camera.Close()
            camera.DestroyDevice()
        except self._genicam.GenericException as error:
            _log.warning("%s: cannot be closed in order (%s)", self._name, words_of(error))

    def describe(self) -> Mapping[str, object]:
        """The camera's features by their SFNC names."""
        return readable(self._features_open())

    def _features_open(self) -> PylonFeatures:
        if self._features is None:
            raise CameraError(f"{self._name}: the camera is not open")
        return self._features

    def _connect(self) -> None:
        factory = self._pylon.TlFactory.GetInstance()
        devices = factory.EnumerateDevices()
        device = devices[only_one("pylon", [_found(one) for one in devices], self._serial)]
        self._name = f"pylon {device.GetSerialNumber()}"
        self._camera = self._pylon.InstantCamera(factory.CreateDevice(device))
        self._camera.Open()
        self._features = PylonFeatures(self._camera.GetNodeMap(), self._genicam)

    def _start(self) -> None:
        features = self._features_open()
        self._tick_ns = _tick_ns(features)
        self._acquisition = Acquisition(self._name, features, self._stale_ms)
        self._camera.MaxNumBuffer.SetValue(_BUFFERS)
        self._camera.StartGrabbing(
            self._pylon.GrabStrategy_OneByOne
            if self._acquisition.in_order
            else self._pylon.GrabStrategy_LatestImageOnly
        )

    def _accept(self, result: Any, acquisition: Acquisition) -> None:
        if not result.IsValid():
            if self._camera.IsCameraDeviceRemoved():
                raise CameraLostError(f"{self._name}: unplugged or without power; open it again")
            if not self._camera.IsGrabbing():
                raise CameraLostError(f"{self._name}: stopped by itself; open it again")
            return
        block_id = None if result.GetBlockID() == _NO_BLOCK_ID else result.GetBlockID()
        if not result.GrabSucceeded():  # its array looks like a good one
            reason = f"{result.GetErrorDescription()} (0x{result.GetErrorCode():08x})"
            error = PartialFrameError(f"{self._name}: the frame is not whole: {reason}")
            acquisition.put_failed(error, block_id)
            return
        is_padded, row_bytes = result.GetStride()  # is_padded False: rows share bytes
        acquisition.put(
            Acquired(
                # Not GetArrayZeroCopy, which unpacks packed formats by itself.
                raw=np.frombuffer(result.GetImageMemoryView(), np.uint8),
                format_code=result.GetPixelType(),
                width=result.GetWidth(),
                height=result.GetHeight(),
                row_bytes=row_bytes if is_padded else 0,
                block_id=block_id,
                stamp_ns=round(result.GetTimeStamp() * self._tick_ns),
            )
        )


class PylonFeatures:
    """A node map of pylon as `Features`."""

    def __init__(self, node_map: Any, genicam: Any) -> None:
        self._node_map = node_map
        self._genicam = genicam

    def has(self, name: str) -> bool:
        """See `Features.has`."""
        node = self._node_map.GetNode(name)
        return node is not None and self._genicam.IsAvailable(node)

    def get(self, name: str) -> Value:
        """See `Features.get`."""
        try:
            value: Value = self._node_map.GetNode(name).GetValue()
        except (self._genicam.GenericException, AttributeError) as error:
            raise CameraSettingError(words_of(error)) from error
        return value

    def set(self, name: str, value: Value) -> None:
        """See `Features.set`."""
        try:
            self._node_map.GetNode(name).SetValue(value)
        except (self._genicam.GenericException, AttributeError, TypeError) as error:
            raise CameraSettingError(words_of(error)) from error

    def execute(self, name: str) -> None:
        """See `Features.execute`."""
        try:
            node = self._node_map.GetNode(name)
            node.Execute()
            wait_until(node.IsDone, name)
        except (self._genicam.GenericException, AttributeError) as error:
            raise CameraSettingError(words_of(error)) from error


def discover() -> list[Found]:
    """The Basler cameras that pylon sees, on GigE and USB3, and its emulated ones."""
    devices = load_sdk("pylon", "pypylon.pylon").TlFactory.GetInstance().EnumerateDevices()
    return [_found(device) for device in devices]


def _found(device: Any) -> Found:
    serial = device.GetSerialNumber()
    name = device.GetUserDefinedName() if device.IsUserDefinedNameAvailable() else ""
    return Found(
        "pylon", serial, (name,) if name else (), device.GetFriendlyName(), f"serial: {serial!r}"
    )


def _tick_ns(features: PylonFeatures) -> float:
    """Nanoseconds of the camera's time stamps: GigE counts ticks, USB3 nanoseconds."""
    for name in ("GevTimestampTickFrequency", "TimestampTickFrequency"):
        if features.has(name):
            return 1e9 / float(features.get(name))
    return 1.0
