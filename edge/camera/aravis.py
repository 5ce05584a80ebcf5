"""GigE Vision and USB3 Vision cameras of any maker, through Aravis 0.8 and GObject introspection.

On GigE the process needs CAP_NET_RAW (Aravis then takes packets past the socket buffers) or a
large net.core.rmem_max: without either, frames of a megapixel arrive with packets missing.
"""

from __future__ import annotations

import logging
import time
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
from edge.camera.genicam import GenicamSettings, Value, apply, readable, words_of
from edge.camera.sdk import load_gi
from edge.errors import CameraError

_log = logging.getLogger(__name__)
_BUFFERS = 8
_ALWAYS_THERE = 0  # address of the version, GigE Vision 18.1 and USB3 Vision 4.1; never cached
_SILENT_S = 1.0  # of silence, then the camera is asked whether it is there


class AravisCamera:
    """A camera on the network or on USB; see `AravisConfig`.

    With a trigger every frame comes, in order, and those that the camera counted and that are
    missing come as errors. Running free, only the newest frame is kept.

    Args:
        open_limit_s: of no effect: `GuardedCamera` keeps it.
        stale_ms: a frame that waited longer here, or lags more by the camera's clock, is refused.
    """

    waits = False

    def __init__(
        self,
        *,
        camera: str | None = None,
        packet_bytes: int | None = None,
        settings: GenicamSettings | None = None,
        open_limit_s: float = 10.0,
        stale_ms: float | None = 500.0,
    ) -> None:
        del open_limit_s
        self._aravis, self._glib = load_gi("aravis", Aravis="0.8", GLib="2.0")
        self._wanted = camera
        self._packet_bytes = packet_bytes
        self._settings = settings or GenicamSettings()
        self._stale_ms = stale_ms
        self._name = f"aravis {camera or 'camera'}"
        self._camera: Any = None
        self._stream: Any = None
        self._features: AravisFeatures | None = None
        self._acquisition: Acquisition | None = None
        self._is_lost = False
        self._heard_s = 0.0

    def open(self) -> None:
        """Find, set and start the camera; see `Camera.open`."""
        self.close()
        try:
            self._connect()
            apply(self._features_open(), self._settings, self._name)
            self._start()
        except self._glib.Error as error:
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
        if not self._acquisition.in_order:
            self._drop_backlog()
        buffer = self._stream.timeout_pop_buffer(round(timeout_s * 1e6))
        if buffer is None:
            self._refuse_lost()
            return None
        self._heard_s = time.monotonic()
        while buffer is not None:
            self._accept(buffer, self._acquisition)
            self._stream.push_buffer(buffer)
            buffer = self._stream.try_pop_buffer()
        return self._acquisition.take()

    def trigger(self) -> None:
        """Execute TriggerSoftware; from any thread."""
        self._features_open().execute("TriggerSoftware")

    def close(self) -> None:
        """See `Camera.close`; a camera that does not answer takes its register timeouts, 8 s."""
        camera, self._camera = self._camera, None
        is_running, self._acquisition = self._acquisition is not None, None
        if camera is not None and is_running and not self._is_lost:
            try:
                camera.stop_acquisition()
            except self._glib.Error as error:
                _log.warning("%s: cannot be stopped in order (%s)", self._name, words_of(error))
        if self._features is not None:
            self._features.release()
        self._stream = self._features = None  # the stream's thread ends with its last reference

    def describe(self) -> Mapping[str, object]:
        """The camera's features by their SFNC names."""
        return readable(self._features_open())

    def _features_open(self) -> AravisFeatures:
        if self._features is None:
            raise CameraError(f"{self._name}: the camera is not open")
        return self._features

    def _connect(self) -> None:
        found = _found(self._aravis)
        device = found[only_one("aravis", found, self._wanted)].identity
        self._name, self._is_lost = f"aravis {device}", False
        self._camera = self._aravis.Camera.new(device)
        if self._camera.is_gv_device() and not self._camera.get_device().is_controller():
            raise CameraNotFoundError(
                f"{self._name}: another program controls it, or one that crashed did: then it is "
                "free after its heartbeat, about 3 s"
            )
        # Aravis writes values out of range to the camera unless it is told to check.
        self._camera.set_range_check_policy(self._aravis.RangeCheckPolicy.ENABLE)
        self._camera.get_device().connect("control-lost", self._on_control_lost)
        self._features = AravisFeatures(self._camera, self._aravis, self._glib)

    def _start(self) -> None:
        if self._camera.is_gv_device():
            if self._packet_bytes is None:
                self._camera.gv_auto_packet_size()
            else:
                self._camera.gv_set_packet_size(self._packet_bytes)
        self._stream = self._camera.create_stream(None, None)
        size = self._camera.get_payload()
        for _ in range(_BUFFERS):
            self._stream.push_buffer(self._aravis.Buffer.new_allocate(size))
        self._acquisition = Acquisition(self._name, self._features_open(), self._stale_ms)
        self._camera.start_acquisition()
        self._heard_s = time.monotonic()

    def _drop_backlog(self) -> None:
        """When all buffers are full, what fills them is as old as the reader was away."""
        if self._stream.get_n_buffers()[1] >= _BUFFERS - 1:
            while (buffer := self._stream.try_pop_buffer()) is not None:
                self._stream.push_buffer(buffer)

    def _accept(self, buffer: Any, acquisition: Acquisition) -> None:
        status = buffer.get_status()
        if status != self._aravis.BufferStatus.SUCCESS:
            acquisition.put_failed(
                PartialFrameError(
                    f"{self._name}: the frame is not whole ({status.value_nick}); check cable, "
                    "packet size and CAP_NET_RAW"
                ),
                buffer.get_frame_id() or None,  # 0 when the packet that tells it is missing
            )
            return
        width, height = buffer.get_image_width(), buffer.get_image_height()
        raw = np.frombuffer(buffer.get_image_data(), np.uint8)
        padding = buffer.get_image_padding()[0]
        acquisition.put(
            Acquired(
                raw=raw,
                format_code=buffer.get_image_pixel_format(),
                width=width,
                height=height,
                row_bytes=raw.size // height if padding else 0,
                block_id=buffer.get_frame_id(),
                stamp_ns=buffer.get_timestamp(),
            )
        )

    def _refuse_lost(self) -> None:
        """Tell a camera that is gone from one that is not triggered, by asking it something."""
        if not self._is_lost and time.monotonic() - self._heard_s > _SILENT_S:
            self._heard_s = time.monotonic()
            try:
                self._camera.get_device().read_register(_ALWAYS_THERE)
            except self._glib.Error as error:
                self._is_lost = True
                raise CameraLostError(
                    f"{self._name}: answers no more ({words_of(error)}); check cable and power, "
                    "and open it again"
                ) from error
        if self._is_lost:
            raise CameraLostError(f"{self._name}: control was lost; open it again")

    def _on_control_lost(self, _device: Any) -> None:
        self._is_lost = True


class AravisFeatures:
    """A device of Aravis as `Features`."""

    def __init__(self, camera: Any, aravis: Any, glib: Any) -> None:
        self._camera = camera
        self._aravis = aravis
        self._error: type[Exception] = glib.Error

    def release(self) -> None:
        """Let go of the camera. An exception that is kept somewhere may hold this object, and a
        device that is not finalised keeps its control over the camera.
        """
        self._camera = None

    def has(self, name: str) -> bool:
        """See `Features.has`."""
        try:
            return bool(self._camera.is_feature_available(name))
        except self._error:
            return False

    def get(self, name: str) -> Value:
        """See `Features.get`."""
        try:
            return self._read(name)
        except self._error as error:
            raise CameraSettingError(words_of(error)) from error

    def set(self, name: str, value: Value) -> None:
        """See `Features.set`."""
        kind = self._kind(name)
        try:
            if kind == "float":
                self._camera.set_float(name, float(value))
            elif kind == "integer":
                self._camera.set_integer(name, int(value))
            elif kind == "boolean":
                self._camera.set_boolean(name, bool(value))
            else:
                self._camera.set_string(name, str(value))
        except self._error as error:
            raise CameraSettingError(words_of(error)) from error

    def execute(self, name: str) -> None:
        """See `Features.execute`."""
        try:
            self._camera.execute_command(name)
        except self._error as error:
            raise CameraSettingError(words_of(error)) from error

    def _read(self, name: str) -> Value:
        value: Value = getattr(self._camera, f"get_{self._kind(name)}")(name)
        return value

    def _kind(self, name: str) -> str:
        node = self._camera.get_device().get_feature(name)
        if isinstance(node, self._aravis.GcEnumeration):
            return "string"
        if isinstance(node, self._aravis.GcBoolean):
            return "boolean"
        if isinstance(node, self._aravis.GcFloat):
            return "float"
        return "integer" if isinstance(node, self._aravis.GcInteger) else "string"


def discover() -> list[Found]:
    """The GigE Vision and USB3 Vision cameras that Aravis sees."""
    (aravis,) = load_gi("aravis", Aravis="0.8")
    return _found(aravis)


def _found(aravis: Any) -> list[Found]:
    aravis.update_device_list()
    return [
        Found(
            "aravis",
            aravis.get_device_id(index),
            (aravis.get_device_serial_nbr(index), aravis.get_device_address(index)),
            f"{aravis.get_device_vendor(index)} {aravis.get_device_model(index)}",
            f"camera: {aravis.get_device_id(index)}",
        )
        for index in range(aravis.get_n_devices())
    ]
