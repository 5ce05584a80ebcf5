"""Basler cameras through pypylon."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from edge.camera.faults import CameraLostError, CameraSettingError, PartialFrameError
from edge.camera.genicam import Value, tick_ns, wait_until, words_of
from edge.camera.genicam_camera import Acquired, Acquisition, GenicamCamera, GenicamConfig
from edge.camera.kind import Found, load_sdk, only_camera, only_one
from inspection.config.claims import Claim
from inspection.errors import CameraError

_INSTALL = "pip install 'linewarden[pylon]'"
_BUFFERS = 8
_TRIGGER_LIMIT_S = 1.0
_NO_BLOCK_ID = 2**64 - 1


class PylonConfig(GenicamConfig):
    """The settings of a Basler camera.

    Attributes:
        serial: DeviceSerialNumber; None takes the only camera.
    """

    kind: Literal["pylon"]
    serial: Annotated[str, Field(coerce_numbers_to_str=True)] | None = None

    def claims(self) -> Iterable[Claim]:
        """Returns the claim to the camera."""
        yield Claim(("serial",), only_camera("pylon", self.serial))

    @classmethod
    def discover(cls) -> list[Found]:
        """Returns the Basler cameras on GigE and USB3, and the emulated ones."""
        pylon = load_sdk("pylon", "pypylon.pylon", _INSTALL)
        return [_found(device) for device in pylon.TlFactory.GetInstance().EnumerateDevices()]

    def driver(self) -> PylonCamera:
        """Implements `KindConfig.driver`."""
        return PylonCamera(self)


class PylonCamera(GenicamCamera):
    """A camera on GigE or USB3."""

    def __init__(self, config: PylonConfig) -> None:
        self._pylon = load_sdk("pylon", "pypylon.pylon", _INSTALL)
        self._genicam = load_sdk("pylon", "pypylon.genicam", _INSTALL)
        errors = (self._genicam.GenericException,)
        super().__init__(f"pylon {config.serial or 'camera'}", errors, config)
        self._serial = config.serial
        self._camera: Any = None
        self._tick_ns = 1.0

    def trigger(self) -> None:
        """Executes TriggerSoftware as soon as the camera is ready; from any thread.

        Raises:
            CameraError: the camera is still busy with the trigger before.
        """
        features, camera = self._features_open(), self._camera
        limit_ms, returns = round(_TRIGGER_LIMIT_S * 1000), self._pylon.TimeoutHandling_Return
        try:
            is_ready = not camera.CanWaitForFrameTriggerReady() or camera.WaitForFrameTriggerReady(
                limit_ms, returns
            )
        except self._genicam.GenericException as error:
            raise self._lost(error) from error
        if not is_ready:
            raise CameraError(f"{self._name}: not ready for a trigger in {_TRIGGER_LIMIT_S:g} s")
        features.execute("TriggerSoftware")

    def _connect(self) -> PylonFeatures:
        factory = self._pylon.TlFactory.GetInstance()
        devices = factory.EnumerateDevices()
        device = devices[only_one("pylon", [_found(one) for one in devices], self._serial)]
        self._name = f"pylon {device.GetSerialNumber()}"
        self._camera = self._pylon.InstantCamera(factory.CreateDevice(device))
        self._camera.Open()
        return PylonFeatures(self._camera.GetNodeMap(), self._genicam)

    def _start(self, acquisition: Acquisition) -> None:
        self._tick_ns = tick_ns(self._features_open())
        self._camera.MaxNumBuffer.SetValue(_BUFFERS)
        self._camera.StartGrabbing(
            self._pylon.GrabStrategy_OneByOne
            if acquisition.in_order
            else self._pylon.GrabStrategy_LatestImageOnly
        )

    def _fetch(self, timeout_s: float, acquisition: Acquisition) -> None:
        returns = self._pylon.TimeoutHandling_Return
        result = self._camera.RetrieveResult(round(timeout_s * 1000), returns)
        try:
            self._accept(result, acquisition)
        finally:
            result.Release()

    def _disconnect(self) -> None:
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.StopGrabbing()
            camera.Close()
            camera.DestroyDevice()

    def _accept(self, result: Any, acquisition: Acquisition) -> None:
        if not result.IsValid():
            if self._camera.IsCameraDeviceRemoved():
                raise CameraLostError(
                    f"{self._name}: unplugged or without power; open the camera again"
                )
            if not self._camera.IsGrabbing():
                raise CameraLostError(f"{self._name}: stopped by itself; open the camera again")
            return
        block_id = None if result.GetBlockID() == _NO_BLOCK_ID else result.GetBlockID()
        if not result.GrabSucceeded():  # its array looks like a good frame
            reason = f"{result.GetErrorDescription()} (0x{result.GetErrorCode():08x})"
            error = PartialFrameError(f"{self._name}: the frame is not whole: {reason}")
            acquisition.put_failed(error, block_id)
            return
        is_padded, row_bytes = result.GetStride()  # not padded: packed rows share bytes
        acquisition.put(
            Acquired(
                # Not GetArrayZeroCopy, which unpacks packed formats.
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
        """Implements `Features.has`."""
        node = self._node_map.GetNode(name)
        return node is not None and self._genicam.IsAvailable(node)

    def get(self, name: str) -> Value:
        """Implements `Features.get`."""
        try:
            value: Value = self._node_map.GetNode(name).GetValue()
        except (self._genicam.GenericException, AttributeError) as error:
            raise CameraSettingError(words_of(error)) from error
        return value

    def set(self, name: str, value: Value) -> None:
        """Implements `Features.set`."""
        try:
            self._node_map.GetNode(name).SetValue(value)
        except (self._genicam.GenericException, AttributeError, TypeError) as error:
            raise CameraSettingError(words_of(error)) from error

    def execute(self, name: str) -> None:
        """Implements `Features.execute`."""
        try:
            node = self._node_map.GetNode(name)
            node.Execute()
            wait_until(node.IsDone, name)
        except (self._genicam.GenericException, AttributeError) as error:
            raise CameraSettingError(words_of(error)) from error


def _found(device: Any) -> Found:
    serial = device.GetSerialNumber()
    name = device.GetUserDefinedName() if device.IsUserDefinedNameAvailable() else ""
    return Found(
        "pylon", serial, (name,) if name else (), device.GetFriendlyName(), f"serial: {serial!r}"
    )
