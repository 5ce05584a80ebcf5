"""GigE Vision and USB3 Vision cameras of any maker, through Aravis 0.8 and GObject introspection.

On GigE the process needs CAP_NET_RAW, with which Aravis receives packets past the socket buffers,
or a large net.core.rmem_max. Without either, frames of a megapixel miss packets.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from edge.camera.faults import (
    CameraLostError,
    CameraNotFoundError,
    CameraSettingError,
    PartialFrameError,
)
from edge.camera.genicam import Value, words_of
from edge.camera.genicam_camera import Acquired, Acquisition, GenicamCamera, GenicamConfig
from edge.camera.kind import Found, load_gi, only_camera, only_one
from inspection.config.claims import Claim

_PACKAGES = "gir1.2-aravis-0.8"
_BUFFERS = 8
_ALWAYS_THERE = 0  # address of the version, GigE Vision 18.1 and USB3 Vision 4.1; never cached
_SILENT_S = 1.0  # of silence; then the driver reads a register to find a lost camera


class AravisConfig(GenicamConfig):
    """The settings of a GigE Vision or USB3 Vision camera of any maker.

    Attributes:
        camera: id from `linewarden camera list`, serial number, or IP address; None takes the only
            camera.
        packet_bytes: GevSCPSPacketSize; None negotiates the largest size that passes the network.
    """

    kind: Literal["aravis"]
    camera: Annotated[str, Field(coerce_numbers_to_str=True)] | None = None
    packet_bytes: Annotated[int, Field(ge=576, le=16384)] | None = None

    def claims(self) -> Iterable[Claim]:
        """Returns the claim to the camera."""
        yield Claim(("camera",), only_camera("aravis", self.camera))

    @classmethod
    def discover(cls) -> list[Found]:
        """Returns the GigE Vision and USB3 Vision cameras that Aravis sees."""
        (aravis,) = load_gi("aravis", _PACKAGES, Aravis="0.8")
        return _found(aravis)

    def driver(self) -> AravisCamera:
        """Implements `KindConfig.driver`."""
        return AravisCamera(self)


class AravisCamera(GenicamCamera):
    """A camera on the network or on USB.

    `close` of a camera that does not answer takes its register timeouts, 8 s.
    """

    def __init__(self, config: AravisConfig) -> None:
        self._aravis, self._glib = load_gi("aravis", _PACKAGES, Aravis="0.8", GLib="2.0")
        super().__init__(f"aravis {config.camera or 'camera'}", (self._glib.Error,), config)
        self._wanted = config.camera
        self._packet_bytes = config.packet_bytes
        self._camera: Any = None
        self._stream: Any = None
        self._tree: AravisFeatures | None = None
        self._is_lost = False
        self._heard_s = 0.0

    def _connect(self) -> AravisFeatures:
        found = _found(self._aravis)
        device = found[only_one("aravis", found, self._wanted)].identity
        self._name, self._is_lost = f"aravis {device}", False
        self._camera = self._aravis.Camera.new(device)
        if self._camera.is_gv_device() and not self._camera.get_device().is_controller():
            raise CameraNotFoundError(
                f"{self._name}: another program controls it; a program that crashed controls it "
                "until its heartbeat ends, about 3 s"
            )
        # By default Aravis writes values out of range to the camera.
        self._camera.set_range_check_policy(self._aravis.RangeCheckPolicy.ENABLE)
        self._camera.get_device().connect("control-lost", self._on_control_lost)
        # A camera whose last program crashed still sends to the port of that program.
        self._camera.stop_acquisition()
        self._tree = AravisFeatures(self._camera, self._aravis, self._glib)
        return self._tree

    def _start(self, acquisition: Acquisition) -> None:
        del acquisition
        if self._camera.is_gv_device():
            if self._packet_bytes is None:
                self._camera.gv_auto_packet_size()
            else:
                self._camera.gv_set_packet_size(self._packet_bytes)
        self._stream = self._camera.create_stream(None, None)
        size = self._camera.get_payload()
        for _ in range(_BUFFERS):
            self._stream.push_buffer(self._aravis.Buffer.new_allocate(size))
        self._camera.start_acquisition()
        self._heard_s = time.monotonic()

    def _fetch(self, timeout_s: float, acquisition: Acquisition) -> None:
        if not acquisition.in_order:
            self._drop_backlog()
        buffer = self._stream.timeout_pop_buffer(round(timeout_s * 1e6))
        if buffer is None:
            self._refuse_lost()
            return
        self._heard_s = time.monotonic()
        while buffer is not None:
            self._accept(buffer, acquisition)
            self._stream.push_buffer(buffer)
            buffer = self._stream.try_pop_buffer()

    def _disconnect(self) -> None:
        camera, self._camera = self._camera, None
        stream, self._stream = self._stream, None  # its thread ends with its last reference
        tree, self._tree = self._tree, None
        if tree is not None:
            tree.release()
        if stream is not None and not self._is_lost:
            camera.stop_acquisition()

    def _drop_backlog(self) -> None:
        """Drops the waiting frames when all buffers are full: they are as old as the last read."""
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
                buffer.get_frame_id() or None,  # 0 when the packet with the number is missing
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
        """Raises CameraLostError for a lost camera: after silence a register must be readable."""
        if not self._is_lost and time.monotonic() - self._heard_s > _SILENT_S:
            self._heard_s = time.monotonic()
            try:
                self._camera.get_device().read_register(_ALWAYS_THERE)
            except self._glib.Error as error:
                self._is_lost = True
                raise CameraLostError(
                    f"{self._name}: no longer answers ({words_of(error)}); check cable and power, "
                    "and open the camera again"
                ) from error
        if self._is_lost:
            raise CameraLostError(f"{self._name}: control was lost; open the camera again")

    def _on_control_lost(self, _device: Any) -> None:
        self._is_lost = True


class AravisFeatures:
    """A device of Aravis as `Features`."""

    def __init__(self, camera: Any, aravis: Any, glib: Any) -> None:
        self._camera = camera
        self._aravis = aravis
        self._error: type[Exception] = glib.Error

    def release(self) -> None:
        """Drops the reference to the camera."""
        # A stored exception may hold this object, and a device that is not finalised keeps control.
        self._camera = None

    def has(self, name: str) -> bool:
        """Implements `Features.has`."""
        try:
            return bool(self._camera.is_feature_available(name))
        except self._error:
            return False

    def get(self, name: str) -> Value:
        """Implements `Features.get`."""
        try:
            return self._read(name)
        except self._error as error:
            raise CameraSettingError(words_of(error)) from error

    def set(self, name: str, value: Value) -> None:
        """Implements `Features.set`."""
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
        """Implements `Features.execute`."""
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
