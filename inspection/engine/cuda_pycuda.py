"""Calls CUDA through pycuda, where only pycuda is installed (community images of JetPack)."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from inspection.engine.cuda import Device, Graphs
from inspection.errors import CudaError, DeviceLostError

# pycuda reports no error number, only the driver's text.
_STICKY_TEXT = re.compile(
    r"illegal|misaligned|assert|unspecified launch failure|terminated|invalid program counter"
    r"|hardware stack|uncorrectable|context is destroyed|operation not supported on global"
    r"|unknown error"
)
_DEVICE = 0  # CUDA_VISIBLE_DEVICES chooses another
_STREAM_NON_BLOCKING = 1


class PyCuda:
    """Calls CUDA through pycuda's primary context, which TensorRT uses too; it has no graphs."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self.graphs: Graphs | None = None
        self._call("init", driver.init)
        self._device = self._call("Device", driver.Device, _DEVICE)
        self._context = self._call("retain_primary_context", self._device.retain_primary_context)
        self._call("push", self._context.push)
        self._objects: dict[int, Any] = {}

    def device(self) -> Device:
        """Implements `Cuda.device`."""
        return self._call("device", self._describe)  # type: ignore[no-any-return]

    def release(self) -> None:
        """Pops the context: pycuda aborts a process that ends with a context on its stack."""
        self._call("pop", self._context.pop)

    def allocate_device(self, size: int) -> int:
        """Implements `Memory.allocate_device`."""
        allocation = self._call("mem_alloc", self._driver.mem_alloc, size)
        return self._keep(int(allocation), allocation)

    def free_device(self, address: int) -> None:
        """Implements `Memory.free_device`."""
        self._call("free", self._objects.pop(address).free)

    def allocate_host(self, size: int) -> int:
        """Implements `Memory.allocate_host`."""
        flags = self._driver.host_alloc_flags.DEVICEMAP
        array = self._call(
            "pagelocked_empty", self._driver.pagelocked_empty, size, np.uint8, "C", flags
        )
        return self._keep(array.ctypes.data, array)

    def free_host(self, address: int) -> None:
        """Implements `Memory.free_host`."""
        self._call("free", self._objects.pop(address).base.free)

    def mapped(self, address: int) -> int:
        """Implements `Memory.mapped`."""
        base = self._objects[address].base
        return int(self._call("get_device_pointer", base.get_device_pointer))

    def create_stream(self) -> int:
        """Implements `Queue.create_stream`."""
        stream = self._call("Stream", self._driver.Stream, _STREAM_NON_BLOCKING)
        return self._keep(int(stream.handle), stream)

    def destroy_stream(self, stream: int) -> None:
        """Implements `Queue.destroy_stream`."""
        del self._objects[stream]  # pycuda releases it with its last reference

    def create_event(self) -> int:
        """Implements `Queue.create_event`."""
        flags = self._driver.event_flags
        event = self._call(
            "Event", self._driver.Event, int(flags.BLOCKING_SYNC) | int(flags.DISABLE_TIMING)
        )
        return self._keep(id(event), event)

    def destroy_event(self, event: int) -> None:
        """Implements `Queue.destroy_event`."""
        del self._objects[event]

    def wait(self, stream: int, event: int) -> None:
        """Implements `Queue.wait`."""
        self._call("record", self._objects[event].record, self._objects[stream])
        self._call("synchronize", self._objects[event].synchronize)

    def copy_to_device(self, target: int, source: int, size: int, stream: int) -> None:
        """Implements `Queue.copy_to_device`."""
        source_bytes = self._objects[source][:size]
        copy = self._driver.memcpy_htod_async
        self._call("memcpy_htod_async", copy, target, source_bytes, self._objects[stream])

    def copy_to_host(self, target: int, source: int, size: int, stream: int) -> None:
        """Implements `Queue.copy_to_host`."""
        target_bytes = self._objects[target][:size]
        copy = self._driver.memcpy_dtoh_async
        self._call("memcpy_dtoh_async", copy, target_bytes, source, self._objects[stream])

    def _describe(self) -> Device:
        major, minor = self._device.compute_capability()
        attribute = self._driver.device_attribute.MULTIPROCESSOR_COUNT
        version = self._driver.get_version()
        return Device(
            name=self._device.name(),
            compute_capability=f"{major}.{minor}",
            multiprocessors=int(self._device.get_attribute(attribute)),
            uuid=None,
            driver=int(self._driver.get_driver_version()),
            runtime=1000 * version[0] + 10 * version[1],
        )

    def _keep(self, number: int, value: Any) -> int:
        self._objects[number] = value
        return number

    def _call(self, name: str, function: Any, *arguments: object) -> Any:
        try:
            return function(*arguments)
        except self._driver.Error as error:
            text = str(error)
            if _STICKY_TEXT.search(text):
                raise DeviceLostError(
                    f"CUDA: {name}: {text}: the GPU is lost to this process; start it again"
                ) from error
            raise CudaError(f"CUDA: {name}: {text}", 0) from error
