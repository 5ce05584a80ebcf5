"""The CUDA calls of the TensorRT engine, through cuda-python or pycuda.

Addresses, streams, events and graphs are plain integers here. One thread owns them all. A failed
call raises CudaError, or DeviceLostError when the error is sticky: then every later call of the
process fails too and only a new process helps (CUDA Runtime API, "cudaGetLastError").
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

import numpy as np

from inspection.errors import CudaError, DeviceLostError, EngineError

# These errors destroy the context (driver_types.h: "must be terminated and relaunched").
STICKY = frozenset({214, 220, 226, 700, 702, 709, 710, *range(714, 720), 721, 999})
_INSUFFICIENT_DRIVER = 35
# pycuda gives no code, only the driver's text for it.
_STICKY_TEXT = re.compile(
    r"illegal|misaligned|assert|unspecified launch failure|terminated|invalid program counter"
    r"|hardware stack|uncorrectable|context is destroyed|operation not supported on global"
    r"|unknown error"
)
_DEVICE = 0  # CUDA_VISIBLE_DEVICES chooses another
_HOST_MAPPED = 2
_STREAM_NON_BLOCKING = 1
_INSTALL = (
    "engine 'tensorrt' needs the package cuda-python or pycuda, and neither is installed: pip "
    "install 'linewarden[tensorrt-cu12]' where the driver is of CUDA 12 (JetPack 6), else "
    "'linewarden[tensorrt-cu13]'"
)


@dataclass(frozen=True)
class Device:
    """A GPU with its CUDA versions, as 1000 * major + 10 * minor."""

    name: str
    compute_capability: str
    multiprocessors: int
    uuid: str | None
    driver: int
    runtime: int


class Memory(Protocol):
    """Memory of the device, and pinned memory of the host that the device can address."""

    def allocate_device(self, size: int) -> int:
        """Allocates `size` bytes on the device and returns their address."""

    def free_device(self, address: int) -> None:
        """Frees memory of `allocate_device`."""

    def allocate_host(self, size: int) -> int:
        """Allocates `size` pinned bytes of the host and returns their address."""

    def free_host(self, address: int) -> None:
        """Frees memory of `allocate_host`."""

    def mapped(self, address: int) -> int:
        """Returns the address under which the device sees pinned host memory."""


class Queue(Protocol):
    """Streams of work, and events to wait for it without a busy core."""

    def create_stream(self) -> int:
        """Creates a stream that does not wait for the default stream."""

    def destroy_stream(self, stream: int) -> None:
        """Destroys a stream."""

    def create_event(self) -> int:
        """Creates an event whose wait blocks instead of spinning."""

    def destroy_event(self, event: int) -> None:
        """Destroys an event."""

    def wait(self, stream: int, event: int) -> None:
        """Blocks until all work of the stream is done."""

    def copy_to_device(self, target: int, source: int, size: int, stream: int) -> None:
        """Enqueues a copy from pinned host memory."""

    def copy_to_host(self, target: int, source: int, size: int, stream: int) -> None:
        """Enqueues a copy into pinned host memory."""


class Graphs(Protocol):
    """Work recorded once and launched as one."""

    def begin_capture(self, stream: int) -> None:
        """Starts to record the work that this thread enqueues."""

    def end_capture(self, stream: int) -> int:
        """Ends the recording and returns a graph to launch; an error ends it too."""

    def launch(self, graph: int, stream: int) -> None:
        """Enqueues the recorded work."""

    def destroy_graph(self, graph: int) -> None:
        """Destroys a graph."""


class Cuda(Memory, Queue, Protocol):
    """A CUDA binding; `graphs` is None when it does not offer CUDA graphs."""

    graphs: Graphs | None

    def device(self) -> Device:
        """Describes the device of the binding."""

    def release(self) -> None:
        """Unbinds the thread from the device. Call it last."""


def open_cuda() -> Cuda:
    """Binds the calling thread to the device through cuda-python, or else through pycuda.

    Raises:
        EngineError: neither package is installed, or there is no device.
    """
    if (runtime := _optional("cuda.bindings.runtime")) is not None:
        return _CudaPython(runtime)
    if (driver := _optional("pycuda.driver")) is not None:
        return _PyCuda(driver)
    raise EngineError(_INSTALL)


def _optional(name: str) -> Any | None:
    """Imports a module; returns None when its package is not installed."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and name.startswith(error.name):
            return None
        raise


class _CudaPython:
    """NVIDIA's own binding, cuda-python 12.6 or later, with CUDA graphs."""

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
        self.graphs: Graphs | None = self
        self._call("cudaSetDevice", _DEVICE)

    def device(self) -> Device:
        properties = self._call("cudaGetDeviceProperties", _DEVICE)
        name = properties.name.decode() if isinstance(properties.name, bytes) else properties.name
        return Device(
            name=name.rstrip("\0"),
            compute_capability=f"{properties.major}.{properties.minor}",
            multiprocessors=int(properties.multiProcessorCount),
            uuid=bytes(properties.uuid.bytes)[:16].hex(),
            driver=int(self._call("cudaDriverGetVersion")),
            runtime=int(self._call("cudaRuntimeGetVersion")),
        )

    def release(self) -> None:
        pass  # the runtime API keeps its context as long as the process lives

    def allocate_device(self, size: int) -> int:
        return int(self._call("cudaMalloc", size))

    def free_device(self, address: int) -> None:
        self._call("cudaFree", address)

    def allocate_host(self, size: int) -> int:
        return int(self._call("cudaHostAlloc", size, _HOST_MAPPED))

    def free_host(self, address: int) -> None:
        self._call("cudaFreeHost", address)

    def mapped(self, address: int) -> int:
        return int(self._call("cudaHostGetDevicePointer", address, 0))

    def create_stream(self) -> int:
        return int(self._call("cudaStreamCreateWithFlags", _STREAM_NON_BLOCKING))

    def destroy_stream(self, stream: int) -> None:
        self._call("cudaStreamDestroy", stream)

    def create_event(self) -> int:
        flags = self._runtime.cudaEventBlockingSync | self._runtime.cudaEventDisableTiming
        return int(self._call("cudaEventCreateWithFlags", flags))

    def destroy_event(self, event: int) -> None:
        self._call("cudaEventDestroy", event)

    def wait(self, stream: int, event: int) -> None:
        self._call("cudaEventRecord", event, stream)
        self._call("cudaEventSynchronize", event)

    def copy_to_device(self, target: int, source: int, size: int, stream: int) -> None:
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", target, source, size, kind, stream)

    def copy_to_host(self, target: int, source: int, size: int, stream: int) -> None:
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", target, source, size, kind, stream)

    def begin_capture(self, stream: int) -> None:
        # Thread-local: another thread of the process may call CUDA meanwhile.
        mode = self._runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", stream, mode)

    def end_capture(self, stream: int) -> int:
        record = self._call("cudaStreamEndCapture", stream)
        with ExitStack() as undo:
            undo.callback(self._call, "cudaGraphDestroy", record)
            graph = int(self._call("cudaGraphInstantiateWithFlags", record, 0))
            undo.pop_all()
            undo.callback(self.destroy_graph, graph)
            self._call("cudaGraphDestroy", record)
            undo.pop_all()
        return graph

    def launch(self, graph: int, stream: int) -> None:
        self._call("cudaGraphLaunch", graph, stream)

    def destroy_graph(self, graph: int) -> None:
        self._call("cudaGraphExecDestroy", graph)

    def _call(self, name: str, *arguments: object) -> Any:
        error, *values = getattr(self._runtime, name)(*arguments)
        if int(error) != 0:
            # Clears an error that is not sticky, so that the next call does not report it again.
            self._runtime.cudaGetLastError()
            _, text = self._runtime.cudaGetErrorName(error)
            raise _cuda_error(name, int(error), bytes(text).decode())
        return values[0] if values else None


class _PyCuda:
    """Pycuda, the only binding of some community images of JetPack; it has no CUDA graphs.

    It takes the primary context, which TensorRT uses too.
    """

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self.graphs: Graphs | None = None
        self._call("init", driver.init)
        self._device = self._call("Device", driver.Device, _DEVICE)
        self._context = self._call("retain_primary_context", self._device.retain_primary_context)
        self._call("push", self._context.push)
        self._objects: dict[int, Any] = {}

    def device(self) -> Device:
        return self._call("device", self._describe)  # type: ignore[no-any-return]

    def release(self) -> None:
        # pycuda aborts a process that ends with a context on its stack.
        self._call("pop", self._context.pop)

    def allocate_device(self, size: int) -> int:
        allocation = self._call("mem_alloc", self._driver.mem_alloc, size)
        return self._keep(int(allocation), allocation)

    def free_device(self, address: int) -> None:
        self._call("free", self._objects.pop(address).free)

    def allocate_host(self, size: int) -> int:
        flags = self._driver.host_alloc_flags.DEVICEMAP
        array = self._call(
            "pagelocked_empty", self._driver.pagelocked_empty, size, np.uint8, "C", flags
        )
        return self._keep(array.ctypes.data, array)

    def free_host(self, address: int) -> None:
        self._call("free", self._objects.pop(address).base.free)

    def mapped(self, address: int) -> int:
        base = self._objects[address].base
        return int(self._call("get_device_pointer", base.get_device_pointer))

    def create_stream(self) -> int:
        stream = self._call("Stream", self._driver.Stream, _STREAM_NON_BLOCKING)
        return self._keep(int(stream.handle), stream)

    def destroy_stream(self, stream: int) -> None:
        del self._objects[stream]  # pycuda releases it with its last reference

    def create_event(self) -> int:
        flags = self._driver.event_flags
        event = self._call(
            "Event", self._driver.Event, int(flags.BLOCKING_SYNC) | int(flags.DISABLE_TIMING)
        )
        return self._keep(id(event), event)

    def destroy_event(self, event: int) -> None:
        del self._objects[event]

    def wait(self, stream: int, event: int) -> None:
        self._call("record", self._objects[event].record, self._objects[stream])
        self._call("synchronize", self._objects[event].synchronize)

    def copy_to_device(self, target: int, source: int, size: int, stream: int) -> None:
        source_bytes = self._objects[source][:size]
        copy = self._driver.memcpy_htod_async
        self._call("memcpy_htod_async", copy, target, source_bytes, self._objects[stream])

    def copy_to_host(self, target: int, source: int, size: int, stream: int) -> None:
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


def _cuda_error(call: str, code: int, text: str) -> CudaError | DeviceLostError:
    """Makes the exception of a CUDA error code."""
    message = f"CUDA: {call} failed with {text} ({code})"
    if code in STICKY:
        return DeviceLostError(f"{message}: the GPU is lost to this process; start it again")
    if code == _INSUFFICIENT_DRIVER:
        message += (
            ": there is no NVIDIA driver, or it is older than the CUDA of this binding (for a "
            "driver of CUDA 12, JetPack 6 too: pip install 'cuda-python==12.*'); linewarden doctor "
            "shows the driver"
        )
    return CudaError(message, code)
