"""Calls CUDA through cuda-python, NVIDIA's binding: preferred, because it has CUDA graphs."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from inspection.engine.cuda import Device, Graphs, cuda_error

_DEVICE = 0  # CUDA_VISIBLE_DEVICES chooses another
_HOST_MAPPED = 2
_STREAM_NON_BLOCKING = 1


class CudaPython:
    """Calls CUDA through `cuda.bindings.runtime` of cuda-python 12.6 or later."""

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
        self.graphs: Graphs | None = self
        self._call("cudaSetDevice", _DEVICE)

    def device(self) -> Device:
        """Implements `Cuda.device`."""
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
        """Does nothing: the runtime API keeps its context for the process."""

    def allocate_device(self, size: int) -> int:
        """Implements `Memory.allocate_device`."""
        return int(self._call("cudaMalloc", size))

    def free_device(self, address: int) -> None:
        """Implements `Memory.free_device`."""
        self._call("cudaFree", address)

    def allocate_host(self, size: int) -> int:
        """Implements `Memory.allocate_host`."""
        return int(self._call("cudaHostAlloc", size, _HOST_MAPPED))

    def free_host(self, address: int) -> None:
        """Implements `Memory.free_host`."""
        self._call("cudaFreeHost", address)

    def mapped(self, address: int) -> int:
        """Implements `Memory.mapped`."""
        return int(self._call("cudaHostGetDevicePointer", address, 0))

    def create_stream(self) -> int:
        """Implements `Queue.create_stream`."""
        return int(self._call("cudaStreamCreateWithFlags", _STREAM_NON_BLOCKING))

    def destroy_stream(self, stream: int) -> None:
        """Implements `Queue.destroy_stream`."""
        self._call("cudaStreamDestroy", stream)

    def create_event(self) -> int:
        """Implements `Queue.create_event`."""
        flags = self._runtime.cudaEventBlockingSync | self._runtime.cudaEventDisableTiming
        return int(self._call("cudaEventCreateWithFlags", flags))

    def destroy_event(self, event: int) -> None:
        """Implements `Queue.destroy_event`."""
        self._call("cudaEventDestroy", event)

    def wait(self, stream: int, event: int) -> None:
        """Implements `Queue.wait`."""
        self._call("cudaEventRecord", event, stream)
        self._call("cudaEventSynchronize", event)

    def copy_to_device(self, target: int, source: int, size: int, stream: int) -> None:
        """Implements `Queue.copy_to_device`."""
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", target, source, size, kind, stream)

    def copy_to_host(self, target: int, source: int, size: int, stream: int) -> None:
        """Implements `Queue.copy_to_host`."""
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", target, source, size, kind, stream)

    def begin_capture(self, stream: int) -> None:
        """Implements `Graphs.begin_capture`."""
        # Thread-local: another thread of the process may call CUDA meanwhile.
        mode = self._runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", stream, mode)

    def end_capture(self, stream: int) -> int:
        """Implements `Graphs.end_capture`."""
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
        """Implements `Graphs.launch`."""
        self._call("cudaGraphLaunch", graph, stream)

    def destroy_graph(self, graph: int) -> None:
        """Implements `Graphs.destroy_graph`."""
        self._call("cudaGraphExecDestroy", graph)

    def _call(self, name: str, *arguments: object) -> Any:
        error, *values = getattr(self._runtime, name)(*arguments)
        if int(error) != 0:
            # Clears an error that is not sticky, so that the next call does not report it again.
            self._runtime.cudaGetLastError()
            _, text = self._runtime.cudaGetErrorName(error)
            raise cuda_error(name, int(error), bytes(text).decode())
        return values[0] if values else None
