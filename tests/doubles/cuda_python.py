"""A double of `cuda.bindings.runtime` of cuda-python, over a simulated device."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

from tests.doubles.cuda import CallError, SimulatedDevice

NAMES = {
    2: "cudaErrorMemoryAllocation",
    35: "cudaErrorInsufficientDriver",
    400: "cudaErrorInvalidResourceHandle",
    700: "cudaErrorIllegalAddress",
    719: "cudaErrorLaunchFailure",
    900: "cudaErrorStreamCaptureUnsupported",
    901: "cudaErrorStreamCaptureInvalidated",
}
# These calls report an earlier error, and release nevertheless.
RELEASES = {
    "cudaFree", "cudaFreeHost", "cudaStreamDestroy", "cudaEventDestroy", "cudaGraphDestroy",
    "cudaGraphExecDestroy",
}  # fmt: skip


class _Handle:
    """A wrapped handle of cuda-python, which `int` turns into a number."""

    def __init__(self, value: int) -> None:
        self._value = value

    def __int__(self) -> int:
        return self._value


def cuda_python(device: SimulatedDevice) -> ModuleType:
    """Returns the module `cuda.bindings.runtime`: each call gives (error, values...)."""
    h2d, d2h = SimpleNamespace(pair=("device", "host")), SimpleNamespace(pair=("host", "device"))
    properties = SimpleNamespace(
        name=device.name.encode().ljust(256, b"\0"),
        major=device.compute_capability[0],
        minor=device.compute_capability[1],
        multiProcessorCount=device.multiprocessors,
        uuid=SimpleNamespace(bytes=device.uuid),
    )

    def copy(target: int, source: int, size: int, kind: Any, stream: int) -> None:
        device.enqueue(int(stream), lambda: device.copy(target, source, size, kind.pair))

    calls: dict[str, Callable[..., Any]] = {
        "cudaSetDevice": lambda _index: None,
        "cudaGetDeviceProperties": lambda _index: properties,
        "cudaDriverGetVersion": lambda: device.driver,
        "cudaRuntimeGetVersion": lambda: device.runtime,
        "cudaMalloc": lambda size: device.allocate("device", size),
        "cudaFree": lambda address: device.free("device", address),
        "cudaHostAlloc": lambda size, _flags: device.allocate("host", size),
        "cudaFreeHost": lambda address: device.free("host", address),
        "cudaHostGetDevicePointer": lambda address, _flags: address,
        "cudaStreamCreateWithFlags": lambda _flags: _Handle(device.create_stream()),
        "cudaStreamDestroy": lambda stream: device.destroy_stream(int(stream)),
        "cudaEventCreateWithFlags": lambda _flags: _Handle(device.create_event()),
        "cudaEventDestroy": lambda event: device.destroy_event(int(event)),
        "cudaEventRecord": lambda event, stream: device.record(int(event), int(stream)),
        "cudaEventSynchronize": lambda event: device.synchronize(int(event)),
        "cudaMemcpyAsync": copy,
        "cudaStreamBeginCapture": lambda stream, _mode: device.begin_capture(int(stream)),
        "cudaStreamEndCapture": lambda stream: _Handle(device.end_capture(int(stream))),
        "cudaGraphInstantiateWithFlags": lambda graph, _flags: _Handle(
            device.instantiate(int(graph))
        ),
        "cudaGraphLaunch": lambda graph, stream: device.launch(int(graph), int(stream)),
        "cudaGraphDestroy": lambda graph: device.destroy_graph("graph", int(graph)),
        "cudaGraphExecDestroy": lambda graph: device.destroy_graph("executable", int(graph)),
    }
    module: Any = ModuleType("cuda.bindings.runtime")
    for name, function in calls.items():
        setattr(module, name, _returning(device, name, function))
    module.cudaGetLastError = lambda: (device.lost,)
    module.cudaGetErrorName = lambda error: (0, NAMES.get(error, "cudaErrorUnknown").encode())
    module.cudaEventBlockingSync, module.cudaEventDisableTiming = 1, 2
    module.cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=h2d, cudaMemcpyDeviceToHost=d2h)
    module.cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)
    return module  # type: ignore[no-any-return]


def _returning(
    device: SimulatedDevice, name: str, function: Callable[..., Any]
) -> Callable[..., tuple[Any, ...]]:
    returns_nothing = name in RELEASES or name in {
        "cudaSetDevice", "cudaEventRecord", "cudaEventSynchronize", "cudaMemcpyAsync",
        "cudaStreamBeginCapture", "cudaGraphLaunch",
    }  # fmt: skip

    def call(*arguments: Any) -> tuple[Any, ...]:
        error, value = 0, None
        try:
            device.enter(name)
        except CallError as failure:
            error = failure.code
        if error and name == "cudaStreamEndCapture":
            device.abandon_capture(int(arguments[0]))
        if not error or name in RELEASES:
            try:
                value = function(*arguments)
            except CallError as failure:
                error = failure.code
        return (error,) if returns_nothing else (error, value)

    return call
