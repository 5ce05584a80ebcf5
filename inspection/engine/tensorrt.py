"""TensorRT on an NVIDIA device: runs a plan that `linewarden build` made here; never builds one.

Order and rules of the calls follow NVIDIA's developer guide for TensorRT 10.3 to 11. TensorRT
reports failures by None or False and in its log, so this file checks each answer and quotes the
log.
"""

from __future__ import annotations

import ctypes
import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from inspection.engine.base import GraphShape, Prediction
from inspection.engine.cuda import Cuda, Graphs, open_cuda
from inspection.engine.sidecar import (
    Launch,
    Memory,
    Runtime,
    Sidecar,
    Tensor,
    read_sidecar,
    verify,
)
from inspection.engine.tensorrt_bindings import (
    load_bindings,
    name_of,
    platform_here,
    process_logger,
)
from inspection.errors import CudaError, DeviceLostError, EngineError

_log = logging.getLogger(__name__)

_ALIGNMENT = 256
_DTYPES = {"UINT8": "uint8", "FLOAT": "float32"}

OpenContext = Callable[[Any, Any], Any]


class TensorRtEngine:
    """Runs one plan of a bundle, `engines/<device>/<precision>/model.plan`.

    A class for another runtime overrides `_runtime` and `_context_opener`. Deserialises nothing
    before the bytes of the plan, its sidecar and this machine agree.

    Args:
        artefact: the plan.
        shape: input shape that the plan must have.
        threads: without effect: the device does the work.

    Raises:
        BundleError: plan or sidecar is damaged, or they do not belong together.
        EngineError: the plan was built for another machine, TensorRT refuses it, or a package is
            missing.
        DeviceLostError: the device failed. End the process.
    """

    _runtime: ClassVar[Runtime] = "tensorrt"

    def __init__(self, artefact: Path, shape: GraphShape, *, threads: int | None = None) -> None:
        del threads
        sidecar = read_sidecar(artefact)
        try:
            plan = artefact.read_bytes()
        except OSError as error:
            raise EngineError(f"{artefact}: cannot be read ({error.strerror})") from error
        _check_contract(artefact, sidecar.io, shape)
        trt = load_bindings(self._runtime)
        with ExitStack() as resources:
            cuda = open_cuda()
            resources.callback(cuda.release)
            verify(artefact, plan, sidecar, platform_here(trt, cuda.device(), self._runtime))
            self._plan = RunningPlan(
                trt,
                cuda,
                plan,
                shape,
                memory=sidecar.memory,
                graph=sidecar.launch == "graph",
                open_context=self._context_opener(artefact, sidecar),
            )
            resources.callback(self._plan.close)
            self._resources = resources.pop_all()

    @property
    def launch(self) -> str:
        """Returns the way in which the device gets its work: "graph" or "plain"."""
        return self._plan.launch

    def infer(self, batch: npt.NDArray[np.uint8], deadline_ns: int | None = None) -> Prediction:
        """Implements `Engine.infer`."""
        return self._plan.infer(batch, deadline_ns)

    def close(self) -> None:
        """Releases the device. Safe to call twice; raises the last error of a release."""
        self._resources.close()

    def _context_opener(self, artefact: Path, sidecar: Sidecar) -> OpenContext:
        del artefact, sidecar
        return plain_context


def plain_context(trt: Any, engine: Any) -> Any:
    """Returns the execution context of an engine; None when TensorRT gives none."""
    del trt
    return engine.create_execution_context()


class RunningPlan:
    """A deserialised plan: one context, one stream, buffers bound once, a CUDA graph.

    The thread that makes it owns it until `close`.

    Args:
        plan: verified bytes.
        memory: "copied" moves frames through pinned memory; with "mapped" the device reads and
            writes the memory of the host.
        graph: record the launches as a CUDA graph, instead of making them one by one.
        open_context: makes the execution context of the engine, None when it cannot.

    Attributes:
        engine: the engine of TensorRT, for TensorRT's inspector.
        launch: "graph", or "plain" when no graph was requested, offered or captured.

    Raises:
        EngineError: TensorRT refuses the plan, or its inputs and outputs are not the contract's.
        DeviceLostError: the device failed.
    """

    def __init__(
        self,
        trt: Any,
        cuda: Cuda,
        plan: bytes,
        shape: GraphShape,
        *,
        memory: Memory,
        graph: bool = True,
        open_context: OpenContext = plain_context,
    ) -> None:
        self._trt, self._cuda, self._memory = trt, cuda, memory
        self._open_context = open_context
        self._owner = threading.get_ident()
        self._host: dict[str, npt.NDArray[Any]] = {}
        self._transfers: dict[str, list[tuple[int, int, int]]] = {"input": [], "output": []}
        self._graph: int | None = None
        self._runtime: Any = None
        self._context: Any = None
        self.engine: Any = None
        self._resources = ExitStack()
        try:
            self._open(plan, shape)
            if graph and cuda.graphs is not None:
                self._graph = self._captured(cuda.graphs)
        except BaseException:
            with suppress(CudaError, DeviceLostError):  # report the first error, not this one
                self.close()
            raise
        self.launch: Launch = "plain" if self._graph is None else "graph"

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Returns the inputs and outputs that TensorRT reports."""
        return tuple(self._tensor(i) for i in range(self._engine().num_io_tensors))

    def infer(self, batch: npt.NDArray[np.uint8], deadline_ns: int | None = None) -> Prediction:
        """Runs uint8 (N, H, W, 3) BGR; the caller owns the prediction."""
        del deadline_ns  # a run on this device cannot be stopped
        self._check_owner()
        self._engine()
        image = self._host["input"]
        if batch.shape != image.shape or batch.dtype != image.dtype:
            raise EngineError(
                f"the input is {batch.dtype} {batch.shape} and the engine takes {image.dtype} "
                f"{image.shape}"
            )
        np.copyto(image, batch)
        self._run()
        return Prediction(self._host["pred_score"].copy(), self._host["anomaly_map"].copy())

    def close(self) -> None:
        """Releases everything, in the order that TensorRT demands. Safe to call twice.

        Goes on after an error, and raises the last error at the end.
        """
        self._check_owner()
        with self._resources.pop_all() as resources:  # last in, first out
            resources.callback(self._drop)
            if self._graph is not None and self._cuda.graphs is not None:
                resources.callback(self._cuda.graphs.destroy_graph, self._graph)
                self._graph = None
            if self._context is not None and self._transfers["output"]:
                resources.callback(self._cuda.wait, self._stream, self._event)

    def _open(self, plan: bytes, shape: GraphShape) -> None:
        cuda, release = self._cuda, self._resources.callback
        self._deserialise(plan)
        _check_contract("the engine", self.tensors, shape)
        self._stream = cuda.create_stream()
        release(cuda.destroy_stream, self._stream)
        self._event = cuda.create_event()
        release(cuda.destroy_event, self._event)
        for tensor in self.tensors:
            self._bind(tensor)
        # TensorRT completes its set-up in the first run; a capture must not record that.
        self._run()

    def _deserialise(self, plan: bytes) -> None:
        log = process_logger(self._trt)
        log.take()
        try:
            self._runtime = self._trt.Runtime(log)
        except TypeError as error:  # pybind11 raises it when a factory returns nothing
            raise EngineError(
                f"TensorRT finds no device: {log.take()}; linewarden doctor says what is missing"
            ) from error
        self._runtime.engine_host_code_allowed = False
        self.engine = self._runtime.deserialize_cuda_engine(plan)
        if self.engine is None:
            raise EngineError(f"{name_of(self._trt)} refuses the plan: {log.take()}")
        self._context = self._open_context(self._trt, self.engine)
        if self._context is None:
            raise EngineError(f"TensorRT gives no execution context: {log.take()}")

    def _tensor(self, index: int) -> Tensor:
        engine = self._engine()
        name = engine.get_tensor_name(index)
        is_input = engine.get_tensor_mode(name) == self._trt.TensorIOMode.INPUT
        dtype = engine.get_tensor_dtype(name).name  # NumPy lacks some of them
        return Tensor(
            name=name,
            mode="input" if is_input else "output",
            dtype=_DTYPES.get(dtype, dtype),
            shape=tuple(engine.get_tensor_shape(name)),
        )

    def _bind(self, tensor: Tensor) -> None:
        cuda, release = self._cuda, self._resources.callback
        dtype = np.dtype(tensor.dtype)
        size = int(np.prod(tensor.shape)) * dtype.itemsize
        host = cuda.allocate_host(max(size, _ALIGNMENT))
        release(cuda.free_host, host)
        pinned = (ctypes.c_ubyte * size).from_address(host)
        view = np.frombuffer(memoryview(pinned), dtype).reshape(tensor.shape)
        view[...] = 0
        self._host[tensor.name] = view
        if self._memory == "mapped":
            address = cuda.mapped(host)
        else:
            address = cuda.allocate_device(max(size, _ALIGNMENT))
            release(cuda.free_device, address)
        self._transfers[tensor.mode].append((address, host, size))
        if not self._context.set_tensor_address(tensor.name, address):
            raise EngineError(
                f"TensorRT does not take the buffer of {tensor.name!r}: "
                f"{process_logger(self._trt).take()}"
            )

    def _enqueue(self) -> None:
        copied = self._memory == "copied"
        if copied:
            for device, host, size in self._transfers["input"]:
                self._cuda.copy_to_device(device, host, size, self._stream)
        if not self._context.execute_async_v3(self._stream):
            raise EngineError(f"TensorRT did not run: {process_logger(self._trt).take()}")
        if copied:
            for device, host, size in self._transfers["output"]:
                self._cuda.copy_to_host(host, device, size, self._stream)

    def _run(self) -> None:
        if self._graph is not None and self._cuda.graphs is not None:
            self._cuda.graphs.launch(self._graph, self._stream)
        else:
            self._enqueue_plainly()
        self._cuda.wait(self._stream, self._event)

    def _enqueue_plainly(self) -> None:
        try:
            self._enqueue()
        except EngineError:
            # TensorRT reports a failure without its cause. On a lost device this call raises.
            self._cuda.wait(self._stream, self._event)
            raise

    def _captured(self, graphs: Graphs) -> int | None:
        try:
            return self._capture(graphs)
        except EngineError as error:
            _log.warning("no CUDA graph, so each run launches its steps one by one: %s", error)
        self._run()  # proves that the stream is usable after the failed capture
        return None

    def _capture(self, graphs: Graphs) -> int:
        graphs.begin_capture(self._stream)
        failure: EngineError | None = None
        try:
            self._enqueue()
        except EngineError as error:
            failure = error
        graph = graphs.end_capture(self._stream)
        if failure is not None:
            graphs.destroy_graph(graph)
            raise failure
        return graph

    def _engine(self) -> Any:
        if self.engine is None:
            raise EngineError("the engine is closed")
        return self.engine

    def _check_owner(self) -> None:
        if threading.get_ident() != self._owner:
            raise EngineError(
                "a TensorRT engine belongs to the thread that opened it; open one per thread"
            )

    def _drop(self) -> None:
        self._host.clear()
        self._context = None
        self.engine = None
        self._runtime = None


def _contract(shape: GraphShape) -> tuple[Tensor, ...]:
    """Returns the inputs and outputs of a graph of this size."""
    batch, height, width = shape.batch, shape.height, shape.width
    return (
        Tensor(name="input", mode="input", dtype="uint8", shape=(batch, height, width, 3)),
        Tensor(name="pred_score", mode="output", dtype="float32", shape=(batch,)),
        Tensor(name="anomaly_map", mode="output", dtype="float32", shape=(batch, height, width)),
    )


def _check_contract(what: object, found: tuple[Tensor, ...], shape: GraphShape) -> None:
    """Raises EngineError for inputs and outputs that are not those of a graph of this size."""
    expected = _contract(shape)
    if {t.name: t for t in found} != {t.name: t for t in expected}:
        raise EngineError(
            f"{what}: its inputs and outputs are {_describe(found)}, and the bundle says "
            f"{_describe(expected)}; build the engine again"
        )


def _describe(tensors: tuple[Tensor, ...]) -> str:
    return ", ".join(f"{t.mode} {t.name} {t.dtype} {list(t.shape)}" for t in tensors)
