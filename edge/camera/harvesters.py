"""Cameras behind a GenTL producer (.cti file) of any maker, through harvesters."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from edge.camera.faults import CameraNotFoundError, CameraSettingError, PartialFrameError
from edge.camera.genicam import Value, wait_until, words_of
from edge.camera.genicam_camera import Acquired, Acquisition, GenicamCamera, GenicamConfig
from edge.camera.kind import Found, load_sdk, only_camera, only_one
from inspection.config.claims import Claim
from inspection.config.loading import ConfigPath

_INSTALL = "pip install 'linewarden[harvesters]', and the GenTL producer of the camera"
_log = logging.getLogger(__name__)
_FOLDERS = "GENICAM_GENTL64_PATH"  # set by the installers of producers
_BUFFERS = 8
_STEP_MS = 20  # how often harvesters checks its time limit


class HarvestersConfig(GenicamConfig):
    """The settings of a camera behind a GenTL producer (.cti file) of its maker.

    Attributes:
        producer: the .cti file; None takes all in the folders of GENICAM_GENTL64_PATH.
        serial: serial number or id; None takes the only camera.
    """

    kind: Literal["harvesters"]
    producer: ConfigPath | None = None
    serial: Annotated[str, Field(coerce_numbers_to_str=True)] | None = None

    def claims(self) -> Iterable[Claim]:
        """Returns the claim to the camera."""
        yield Claim(("serial",), only_camera("harvesters", self.serial))

    @classmethod
    def discover(cls) -> list[Found]:
        """Returns the cameras of the producers in the folders of GENICAM_GENTL64_PATH."""
        harvester = _harvester(_Sdk(), None)
        found = [_found(info) for info in harvester.device_info_list]
        harvester.reset()
        return found

    def driver(self) -> HarvestersCamera:
        """Implements `KindConfig.driver`."""
        return HarvestersCamera(self)


class HarvestersCamera(GenicamCamera):
    """A camera of a GenTL producer."""

    def __init__(self, config: HarvestersConfig) -> None:
        self._sdk = _Sdk()
        super().__init__(f"harvesters {config.serial or 'camera'}", self._sdk.errors, config)
        self._producer = config.producer
        self._serial = config.serial
        self._harvester: Any = None
        self._acquirer: Any = None
        self._incomplete = 0

    def _connect(self) -> HarvestersFeatures:
        self._harvester = _harvester(self._sdk, self._producer)
        infos = self._harvester.device_info_list
        index = only_one("harvesters", [_found(info) for info in infos], self._serial)
        self._name = f"harvesters {_found(infos[index]).identity}"
        self._acquirer = self._harvester.create(index)
        return HarvestersFeatures(self._acquirer.remote_device.node_map, self._sdk)

    def _start(self, acquisition: Acquisition) -> None:
        del acquisition
        acquirer = self._acquirer
        acquirer.num_buffers = max(_BUFFERS, acquirer.min_num_buffers)
        acquirer.timeout_period_on_client_fetch_call = 1.0  # unused; must be longer than the next
        acquirer.timeout_period_on_update_event_data_call = _STEP_MS
        acquirer.add_callback(acquirer.Events.INCOMPLETE_BUFFER, self._sdk.callback(self._count))
        acquirer.start()

    def _fetch(self, timeout_s: float, acquisition: Acquisition) -> None:
        self._drop_backlog(acquisition)
        while self._fetch_one(timeout_s, acquisition) and self._is_behind(acquisition):
            pass

    def _disconnect(self) -> None:
        acquirer, self._acquirer = self._acquirer, None
        harvester, self._harvester = self._harvester, None
        if acquirer is not None:
            acquirer.stop()
            acquirer.destroy()
        if harvester is not None:
            harvester.reset()

    def _drop_backlog(self, acquisition: Acquisition) -> None:
        """Drops the waiting frames when all buffers are full: they are as old as the last read."""
        waiting = self._acquirer.data_streams[0].num_awaiting_delivery
        if acquisition.in_order or waiting < self._acquirer.num_buffers - 1:
            return
        for _ in range(waiting):
            if (buffer := self._acquirer.try_fetch(timeout=1e-3, is_raw=True)) is not None:
                buffer.parent.queue_buffer(buffer)

    def _is_behind(self, acquisition: Acquisition) -> bool:
        """True when the camera runs free and a newer frame waits."""
        stream = self._acquirer.data_streams[0]
        return bool(not acquisition.in_order and stream.num_awaiting_delivery)

    def _count(self) -> None:
        self._incomplete += 1

    def _fetch_one(self, timeout_s: float, acquisition: Acquisition) -> bool:
        """Takes one buffer from the producer; False when none arrives in time."""
        self._incomplete = 0
        buffer = self._acquirer.try_fetch(timeout=max(timeout_s, 1e-3), is_raw=True)
        if self._incomplete:  # harvesters has returned the buffer to the producer
            acquisition.put_failed(
                PartialFrameError(
                    f"{self._name}: the frame is not whole; check cable and packet size"
                )
            )
            return True
        if buffer is None:
            return False
        try:
            acquisition.put(
                Acquired(
                    raw=np.frombuffer(buffer.raw_buffer, np.uint8)[buffer.image_offset :],
                    format_code=buffer.pixel_format,
                    width=buffer.width,
                    height=buffer.height,
                    row_bytes=0,
                    block_id=buffer.frame_id,
                    stamp_ns=self._stamp_ns(buffer),
                )
            )
        finally:
            buffer.parent.queue_buffer(buffer)
        return True

    def _stamp_ns(self, buffer: Any) -> int:
        try:
            return int(buffer.timestamp_ns)
        except self._sdk.errors:  # many producers have no time stamp
            return 0


class HarvestersFeatures:
    """A GenApi node map as `Features`."""

    def __init__(self, node_map: Any, sdk: _Sdk) -> None:
        self._node_map = node_map
        self._sdk = sdk

    def has(self, name: str) -> bool:
        """Implements `Features.has`."""
        try:
            return bool(self._sdk.genapi.is_available(self._node_map.get_node(name).node))
        except self._sdk.errors:
            return False

    def get(self, name: str) -> Value:
        """Implements `Features.get`."""
        try:
            value: Value = self._node_map.get_node(name).value
        except self._sdk.node_errors as error:
            raise CameraSettingError(words_of(error)) from error
        return value

    def set(self, name: str, value: Value) -> None:
        """Implements `Features.set`."""
        try:
            self._node_map.get_node(name).value = value
        except self._sdk.node_errors as error:
            raise CameraSettingError(words_of(error)) from error

    def execute(self, name: str) -> None:
        """Implements `Features.execute`."""
        try:
            node = self._node_map.get_node(name)
            node.execute()
            wait_until(node.is_done, name)
        except self._sdk.node_errors as error:
            raise CameraSettingError(words_of(error)) from error


class _Sdk:
    """The modules of harvesters and of the GenICam packages below it."""

    def __init__(self) -> None:
        core = load_sdk("harvesters", "harvesters.core", _INSTALL)
        gentl = load_sdk("harvesters", "genicam.gentl", _INSTALL)
        self.genapi = load_sdk("harvesters", "genicam.genapi", _INSTALL)
        self.harvester = core.Harvester
        self.errors: tuple[type[Exception], ...] = (
            gentl.GenericException,
            self.genapi.GenericException,
        )
        self.node_errors = (*self.errors, AttributeError, TypeError)
        self._callback_base = core.Callback

    def callback(self, call: Callable[[], None]) -> Any:
        """Makes a callback object of harvesters for `call`."""
        base: Any = self._callback_base

        class _Callback(base):  # type: ignore[misc]  # a base of a package without types
            def emit(self, context: object = None) -> None:
                del context
                call()

        return _Callback()


def _harvester(sdk: _Sdk, producer: Path | None) -> Any:
    producers = [producer] if producer else _installed()
    harvester = sdk.harvester(logger=_log)
    try:
        for path in producers:
            harvester.add_file(str(path), check_existence=True, check_validity=True)
    except OSError as error:
        raise CameraNotFoundError(
            f"camera 'harvesters': the GenTL producer {path} cannot be loaded "
            f"({str(error) or 'no such file'}); install the producer of the camera's maker"
        ) from error
    harvester.update()
    return harvester


def _installed() -> list[Path]:
    folders = [Path(name) for name in os.environ.get(_FOLDERS, "").split(os.pathsep) if name]
    found = sorted(path for folder in folders for path in folder.glob("*.cti"))
    if not found:
        raise CameraNotFoundError(
            f"camera 'harvesters': no .cti file in the folders of {_FOLDERS}; install the GenTL "
            "producer of the camera's maker, or name the file as `producer`"
        )
    return found


def _found(info: Any) -> Found:
    identity = info.serial_number or info.id_
    model = f"{info.vendor} {info.model}"
    return Found("harvesters", identity, (info.id_,), model, f"serial: {identity!r}")
