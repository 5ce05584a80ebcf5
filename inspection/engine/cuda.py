"""Offers the CUDA calls that the TensorRT engine needs, over cuda-python or pycuda.

Addresses, streams, events and graphs are plain integers here. One thread owns them all. A failed
call raises CudaError, or DeviceLostError when the error is sticky: then every later call of the
process fails too and only a new process helps (CUDA Runtime API, "cudaGetLastError").
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from inspection.errors import CudaError, DeviceLostError, EngineError

# These errors destroy the context (driver_types.h: "must be terminated and relaunched").
STICKY = frozenset({214, 220, 226, 700, 702, 709, 710, *range(714, 720), 721, 999})
_INSUFFICIENT_DRIVER = 35
# In order of preference: module, class, required package.
_BINDINGS = (
    ("inspection.engine.cuda_python", "CudaPython", "cuda.bindings.runtime"),
    ("inspection.engine.cuda_pycuda", "PyCuda", "pycuda.driver"),
)
_INSTALL = (
    "engine 'tensorrt' needs the package cuda-python or pycuda, and neither is installed: pip "
    "install 'linewarden[tensorrt-cu12]' where the driver is of CUDA 12 (JetPack 6), else "
    "'linewarden[tensorrt-cu13]'"
)


@dataclass(frozen=True)
class Device:
    """The GPU and the CUDA versions (1000 * major + 10 * minor) that drive it."""

    name: str
    compute_capability: str
    multiprocessors: int
    uuid: str | None
    driver: int
    runtime: int


class Memory(Protocol):
    """Device memory, and host memory that is pinned and mapped into the device."""

    def allocate_device(self, size: int) -> int:
        """Allocates `size` bytes on the device and returns their address."""

    def free_device(self, address: int) -> None:
        """Releases memory of `allocate_device`."""

    def allocate_host(self, size: int) -> int:
        """Allocates `size` pinned bytes on the host and returns their address."""

    def free_host(self, address: int) -> None:
        """Releases memory of `allocate_host`."""

    def mapped(self, address: int) -> int:
        """Returns the device's address of pinned host memory."""


class Queue(Protocol):
    """Streams of work, with a wait that does not burn a core."""

    def create_stream(self) -> int:
        """Creates a stream that does not wait for the default stream."""

    def destroy_stream(self, stream: int) -> None:
        """Releases a stream."""

    def create_event(self) -> int:
        """Creates an event whose wait blocks instead of spinning."""

    def destroy_event(self, event: int) -> None:
        """Releases an event."""

    def wait(self, stream: int, event: int) -> None:
        """Returns when all work in the stream is done."""

    def copy_to_device(self, target: int, source: int, size: int, stream: int) -> None:
        """Enqueues a copy from pinned host memory."""

    def copy_to_host(self, target: int, source: int, size: int, stream: int) -> None:
        """Enqueues a copy into pinned host memory."""


class Graphs(Protocol):
    """Work recorded once and launched in one call."""

    def begin_capture(self, stream: int) -> None:
        """Starts to record the work that this thread enqueues."""

    def end_capture(self, stream: int) -> int:
        """Stops recording and returns a graph to launch; an error ends the capture too."""

    def launch(self, graph: int, stream: int) -> None:
        """Enqueues the recorded work."""

    def destroy_graph(self, graph: int) -> None:
        """Releases a graph."""


class Cuda(Memory, Queue, Protocol):
    """A CUDA binding; `graphs` is None when the binding has no graphs."""

    graphs: Graphs | None

    def device(self) -> Device:
        """Describes the device behind all these calls."""

    def release(self) -> None:
        """Unbinds the thread from the device; must be the last call."""


def open_cuda() -> Cuda:
    """Binds the calling thread to the device through cuda-python, else through pycuda.

    Raises:
        EngineError: neither package is installed, or there is no device.
    """
    for module, attribute, package in _BINDINGS:
        binding = _optional(package)
        if binding is not None:
            cuda: Cuda = getattr(import_module(module), attribute)(binding)
            return cuda
    raise EngineError(_INSTALL)


def cuda_error(call: str, code: int, text: str) -> CudaError | DeviceLostError:
    """Returns the error to raise for a CUDA error code."""
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


def _optional(name: str) -> Any | None:
    """Returns a module, or None when its package is not installed; raises other import errors."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and name.startswith(error.name):
            return None
        raise
