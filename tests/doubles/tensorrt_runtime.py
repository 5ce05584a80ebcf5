"""The running half of the double of `tensorrt`: runtime, engine, context, inspector."""

from __future__ import annotations

import hashlib
import json
import time
import weakref
from typing import Any

import numpy as np
import onnxruntime

from tests.doubles.cuda import CallError
from tests.doubles.surface import Named, Surface, initialised

PLAN_MAGIC = b"plan-of-the-double\n"
NO_DRIVER = "CUDA initialization failure with error: 35"
_TYPES = {"tensor(uint8)": "UINT8", "tensor(float)": "FLOAT", "tensor(float16)": "HALF"}
_NUMPY = {"UINT8": np.uint8, "FLOAT": np.float32, "HALF": np.float16}
_CONTEXT_BYTES = 1024


class _Runtime:
    def __init__(self, surface: Surface, logger: Any) -> None:
        self.surface, self.logger = surface, initialised(logger, "tensorrt.ILogger")
        self.engine_host_code_allowed = False
        if not surface.world.has_driver:
            surface.world.say(surface, logger, "ERROR", NO_DRIVER)
            raise TypeError("pybind11::init(): factory function returned nullptr")

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> Any:
        """Returns the engine, or None with the reason in the log."""
        content = bytes(serialized_engine)
        reason = self._obstacle(content)
        if reason is not None:
            self.surface.world.say(self.surface, self.logger, "ERROR", reason)
            return None
        model = content[len(PLAN_MAGIC) :].partition(b"\n")[2]
        return self.surface.wrap("ICudaEngine", model, self.logger)

    def _obstacle(self, content: bytes) -> str | None:
        world = self.surface.world
        if "deserialize_cuda_engine" in world.refuse or not content.startswith(PLAN_MAGIC):
            return "Error Code 1: Serialization (Magic tag does not match)"
        head, _, model = content[len(PLAN_MAGIC) :].partition(b"\n")
        header = json.loads(head)
        if header["tensorrt"] != self.surface.version:
            return "The engine plan file is not compatible with this version of TensorRT"
        here = "".join(str(part) for part in world.device.compute_capability)
        if here not in header["compute_capabilities"]:
            return "The engine plan file is generated on an incompatible device"
        if header["sha256"] != hashlib.sha256(model).hexdigest():
            return "Error Code 1: Serialization (a checksum does not match)"
        return None


class _Engine:
    def __init__(self, surface: Surface, model: bytes, logger: Any) -> None:
        self.surface, self.logger, self.model = surface, logger, model
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        providers = ["CPUExecutionProvider"]
        self.session = onnxruntime.InferenceSession(model, options, providers=providers)
        inputs = {v.name: ("INPUT", v) for v in self.session.get_inputs()}
        self.tensors = inputs | {v.name: ("OUTPUT", v) for v in self.session.get_outputs()}
        self.num_io_tensors = len(self.tensors)

    def get_tensor_name(self, index: int) -> str:
        return str(list(self.tensors)[index])

    def get_tensor_mode(self, name: str) -> Any:
        return self.surface.named("TensorIOMode", self.tensors[name][0])

    def get_tensor_dtype(self, name: str) -> Any:
        return self.surface.named("DataType", _TYPES[self.tensors[name][1].type])

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(self.tensors[name][1].shape)

    def create_runtime_config(self) -> Any:
        return self.surface.wrap("IRuntimeConfig")

    def create_execution_context(self, strategy: Any = None) -> Any:
        """Returns the context, or None with the reason in the log.

        Args:
            strategy: or a runtime configuration of TensorRT for RTX.
        """
        world = self.surface.world
        if world.is_rtx:
            self._compile(None if strategy is None else strategy._it.cache)
        try:
            world.device.enter("context memory")
        except CallError:
            world.say(self.surface, self.logger, "ERROR", "Error Code 2: OutOfMemory")
            return None
        return self.surface.wrap("IExecutionContext", self)

    def _compile(self, cache: Any) -> None:
        kernels = hashlib.sha256(self.model).hexdigest()
        if cache is not None and kernels in cache._it.known:
            return
        self.surface.world.compiled += 1
        if cache is not None:
            cache._it.known.append(kernels)

    def create_engine_inspector(self) -> Any:
        return self.surface.wrap("EngineInspector", self)


class _RuntimeConfig:
    def __init__(self, surface: Surface) -> None:
        self.surface = surface
        self.cache: Any = None

    def create_runtime_cache(self) -> Any:
        return self.surface.wrap("IRuntimeCache")

    def set_runtime_cache(self, cache: Any = None) -> bool:
        self.cache = cache
        return True


class _RuntimeCache:
    def __init__(self, surface: Surface) -> None:
        self.surface = surface
        self.known: list[str] = []

    def serialize(self) -> Any:
        return _Kernels(json.dumps([*self._here(), *self.known]).encode())

    def deserialize(self, blob: bytes) -> bool:
        """Takes the kernels of the same library, device and driver; else returns False."""
        try:
            content = json.loads(bytes(blob))
        except ValueError:
            return False
        version, name, driver = content[:3]
        here = self._here()
        if [version, name] != here[:2] or driver // 1000 != here[2] // 1000 or driver > here[2]:
            return False
        self.known = content[3:]
        return True

    def _here(self) -> list[Any]:
        device = self.surface.world.device
        return [self.surface.version, device.name, device.driver]


class _Kernels(bytes):
    """Supports `memoryview`, as memory of the host."""


class _Context:
    def __init__(self, surface: Surface, engine: _Engine) -> None:
        self.surface, self._engine = surface, engine
        self._device = surface.world.device
        self._memory = self._device.allocate("tensorrt", _CONTEXT_BYTES)
        self._addresses: dict[str, int] = {}

    def set_tensor_address(self, name: str, memory: int) -> bool:
        if name not in self._engine.tensors or "set_tensor_address" in self.surface.world.refuse:
            self._say(f"Error Code 3: setTensorAddress of {name}")
            return False
        self._addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        """Puts a run into the stream; returns False when an address is missing."""
        refused = "execute_async_v3" in self.surface.world.refuse
        if refused or self._addresses.keys() != self._engine.tensors.keys():
            self._say("Error Code 3: enqueueV3: address not set")
            return False
        myself = weakref.ref(self)

        def run() -> None:
            alive = myself()
            if alive is None:
                self_device.faults.append("a run outlived its execution context")
                raise CallError(700)
            alive.compute()

        self_device = self._device
        try:
            self_device.enter("kernel launch")
            self_device.enqueue(stream_handle, run)
        except CallError:
            self._say("Error Code 1: Cuda Runtime (an error of the launch)")
            return False
        return True

    def compute(self) -> None:
        """Reads the inputs at their addresses, runs, and writes the outputs."""
        feeds, outputs = {}, []
        for name, (mode, value) in self._engine.tensors.items():
            dtype = np.dtype(_NUMPY[_TYPES[value.type]])
            if mode == "INPUT":
                size = int(np.prod(value.shape)) * dtype.itemsize
                content = self._device.read(self._addresses[name], size)
                feeds[name] = np.frombuffer(content, dtype).reshape(value.shape)
            else:
                outputs.append(name)
        results = self._engine.session.run(outputs, feeds)
        graph = self._engine.session.get_modelmeta().graph_name
        time.sleep(self.surface.world.seconds.get(graph, 0.0))
        for name, result in zip(outputs, results, strict=True):
            noisy = result + np.asarray(self.surface.world.noise, result.dtype)
            self._device.write(self._addresses[name], noisy.tobytes())

    def _say(self, text: str) -> None:
        self.surface.world.say(self.surface, self._engine.logger, "ERROR", text)

    def __del__(self) -> None:
        if hasattr(self, "_memory"):
            self._device.free("tensorrt", self._memory)


class _Inspector:
    def __init__(self, surface: Surface, engine: _Engine) -> None:
        self._layers = [f"layer of {name}" for name in engine.tensors]

    def get_engine_information(self, format: Named) -> str:  # noqa: A002 - TensorRT's name
        return json.dumps({"Layers": self._layers}) if format.name == "JSON" else str(self._layers)


BEHAVIOURS: dict[str, type] = {
    "Runtime": _Runtime,
    "ICudaEngine": _Engine,
    "IExecutionContext": _Context,
    "EngineInspector": _Inspector,
    "IRuntimeConfig": _RuntimeConfig,
    "IRuntimeCache": _RuntimeCache,
}
