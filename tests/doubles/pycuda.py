"""A double of `pycuda.driver`: objects that release themselves, errors as text."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from tests.doubles.cuda import CallError, SimulatedDevice

TEXTS = {
    2: "out of memory",
    700: "an illegal memory access was encountered",
    719: "unspecified launch failure",
}


class Error(Exception):
    """The exception of pycuda for every error code."""


class _OnDevice:
    device: SimulatedDevice

    def call(self, name: str, function: Callable[[], Any]) -> Any:
        """Calls the driver, and turns its error code into an exception."""
        try:
            self.device.enter(name)
            return function()
        except CallError as error:
            raise Error(f"{name} failed: {TEXTS.get(error.code, 'an error')}") from error


class _DeviceAllocation(_OnDevice):
    def __init__(self, size: int) -> None:
        self._address = self.call("cuMemAlloc", lambda: self.device.allocate("device", size))

    def __int__(self) -> int:
        return int(self._address)

    def free(self) -> None:
        self.device.free("device", self._address)


class _HostAllocation(_OnDevice):
    def __init__(self, size: int) -> None:
        self._address = self.call("cuMemHostAlloc", lambda: self.device.allocate("host", size))
        self.__array_interface__ = {
            "data": (self._address, False),
            "shape": (size,),
            "typestr": "|u1",
            "version": 3,
        }

    def get_device_pointer(self) -> int:
        return int(self.call("cuMemHostGetDevicePointer", lambda: self._address))

    def free(self) -> None:
        self.device.free("host", self._address)


class _Stream(_OnDevice):
    handle = 0

    def __init__(self, flags: int = 0) -> None:
        self.handle = self.call("cuStreamCreate", self.device.create_stream)

    def __del__(self) -> None:
        if self.handle:
            self.device.destroy_stream(self.handle)


class _Event(_OnDevice):
    _handle = 0

    def __init__(self, flags: int = 0) -> None:
        self._handle = self.call("cuEventCreate", self.device.create_event)

    def record(self, stream: _Stream) -> None:
        self.call("cuEventRecord", lambda: self.device.record(self._handle, stream.handle))

    def synchronize(self) -> None:
        self.call("cuEventSynchronize", lambda: self.device.synchronize(self._handle))

    def __del__(self) -> None:
        if self._handle:
            self.device.destroy_event(self._handle)


class _Context(_OnDevice):
    def push(self) -> None:
        self.device.calls.append("push")

    def pop(self) -> None:
        self.device.calls.append("pop")


class _Device(_OnDevice):
    context: type[_Context]

    def __init__(self, index: int) -> None:
        self.name = lambda: self.device.name
        self.compute_capability = lambda: self.device.compute_capability
        self.retain_primary_context = self.context

    def get_attribute(self, attribute: object) -> int:
        return self.device.multiprocessors


class _Copies(_OnDevice):
    def to_device(self, target: int, source: Any, stream: _Stream) -> None:
        self._enqueue(target, source.ctypes.data, source.nbytes, ("device", "host"), stream)

    def to_host(self, target: Any, source: int, stream: _Stream) -> None:
        self._enqueue(target.ctypes.data, source, target.nbytes, ("host", "device"), stream)

    def _enqueue(
        self, target: int, source: int, size: int, pair: tuple[str, str], stream: _Stream
    ) -> None:
        def copy() -> None:
            self.device.copy(target, source, size, pair)

        self.call("cuMemcpyAsync", lambda: self.device.enqueue(stream.handle, copy))


def pycuda_driver(device: SimulatedDevice) -> ModuleType:
    """Returns the module over this device."""

    def on(base: type[Any], **more: Any) -> Any:
        return type(base.__name__, (base,), {"device": device, **more})

    module: Any = ModuleType("pycuda.driver")
    module.Error = Error
    module.Device = on(_Device, context=on(_Context))
    module.Stream, module.Event = on(_Stream), on(_Event)
    host = on(_HostAllocation)
    module.mem_alloc = on(_DeviceAllocation)
    module.pagelocked_empty = lambda size, _dtype, _order, _flags: np.asarray(host(size))
    copies = on(_Copies)()
    module.memcpy_htod_async, module.memcpy_dtoh_async = copies.to_device, copies.to_host
    module.init = lambda: copies.call("cuInit", lambda: None)
    module.host_alloc_flags = SimpleNamespace(DEVICEMAP=2)
    module.event_flags = SimpleNamespace(BLOCKING_SYNC=1, DISABLE_TIMING=2)
    module.device_attribute = SimpleNamespace(MULTIPROCESSOR_COUNT=16)
    module.get_version = lambda: (device.runtime // 1000, device.runtime % 1000 // 10, 0)
    module.get_driver_version = lambda: device.driver
    return module  # type: ignore[no-any-return]
