"""A double of `tensorrt` or `tensorrt_rtx_bindings`, from a recording; ONNX Runtime executes.

It fails as TensorRT does: with None or False and a message in the log, with a TypeError where a
factory returns nothing, and with missing attributes that a version no longer has.
"""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
from onnx.checker import ValidationError

from tests.doubles.cuda import SimulatedDevice
from tests.doubles.surface import RTX, Named, Surface, initialised
from tests.doubles.tensorrt_runtime import BEHAVIOURS as RUNTIME
from tests.doubles.tensorrt_runtime import NO_DRIVER, PLAN_MAGIC

PRECISION_FLAGS = {"FP16", "BF16", "INT8", "FP8", "INT4", "FP4"}
# Operators that an exporter could produce and the parser does not know.
UNSUPPORTED = {"Col2Im", "QLinearConv", "ConvInteger", "MatMulInteger", "Unique", "BitShift"}
LAYERS = (
    "Layers:\nName: conv_myl0_0, LayerType: correlation, Inputs: [ { Name: input, Dimensions: "
    "[1,32,32,3], Strides: [3072,96,3,1], StrideOrder: [3,2,1,0], Datatype: Half, Format: (Linear) "
    "Row major linear format }], Constants: [], Outputs: [ { Name: anomaly_map, Dimensions: "
    "[1,32,32], Strides: [1024,32,1], StrideOrder: [2,1,0], Datatype: Float, Format: (Linear) Row "
    "major linear format }], TacticName: __myelin, StreamId: 0, Metadata: [ONNX Layer: conv]"
)
_NUMPY = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT8": np.int8,
    "INT32": np.int32,
    "INT64": np.int64,
    "BOOL": np.bool_,
    "UINT8": np.uint8,
}


@dataclass
class World:
    """The state of one double, and the failures that a test asks for.

    Attributes:
        refuse: names of calls that return None or False.
        noise: added to every output, so that results differ from the checkpoint's.
        seconds: extra duration of a run, by the name of the graph.
        builds: one entry for each build: flags, workspace, level and content of the timing cache.
        is_rtx: the library builds without a device, and compiles kernels at the first load.
        compiled: number of plans whose kernels were compiled, and not found in a cache.
    """

    device: SimulatedDevice
    is_rtx: bool = False
    compiled: int = 0
    has_driver: bool = True
    refuse: set[str] = field(default_factory=set)
    noise: float = 0.0
    steps: int = 3
    seconds: dict[str, float] = field(default_factory=dict)
    builds: list[dict[str, Any]] = field(default_factory=list)

    def say(self, surface: Surface, logger: Any, severity: str, text: str) -> None:
        """Writes to the log, from a thread of TensorRT."""
        level = surface.named("ILogger.Severity", severity)
        thread = threading.Thread(target=logger.log, args=(level, text))
        thread.start()
        thread.join()


def tensorrt(version: str, device: SimulatedDevice) -> ModuleType:
    """Returns the package of a TensorRT version, such as "10.3", or of TensorRT for RTX."""
    world = World(device, is_rtx=version == RTX)
    surface = Surface(version, {**BEHAVIOURS, **RUNTIME}, world)
    module: Any = ModuleType("tensorrt_rtx_bindings" if world.is_rtx else "tensorrt")
    for name, value in surface.classes.items():
        if "." not in name:
            setattr(module, name, value)
    severity = surface.classes["ILogger.Severity"]
    for holder in (module.ILogger, module.Logger):
        holder.Severity = severity
        for name, value in severity.__members__.items():
            setattr(holder, name, value)
    module.nptype = _nptype
    module.__version__ = surface.version
    module.world = world
    return module  # type: ignore[no-any-return]


def _nptype(trt_type: Named) -> Any:
    if trt_type.name not in _NUMPY:
        raise TypeError("Could not resolve TensorRT datatype to an equivalent numpy datatype.")
    return _NUMPY[trt_type.name]


class _Builder:
    def __init__(self, surface: Surface, logger: Any) -> None:
        self.surface, self.logger = surface, initialised(logger, "tensorrt.ILogger")
        if not surface.world.has_driver and not surface.world.is_rtx:
            surface.world.say(surface, logger, "ERROR", NO_DRIVER)
            raise TypeError("pybind11::init(): factory function returned nullptr")

    def create_network(self, flags: int = 0) -> Any:
        """Makes a network, strongly typed by a flag before TensorRT 11 and always since."""
        major = int(self.surface.version.split(".")[0])
        flag = int(self.surface.named("NetworkDefinitionCreationFlag", "STRONGLY_TYPED"))
        return self.surface.wrap("INetworkDefinition", major >= 11 or bool(flags & 1 << flag))

    def create_builder_config(self) -> Any:
        return self.surface.wrap("IBuilderConfig")

    def build_serialized_network(self, network: Any, config: Any) -> Any:
        """Returns the plan, or None with the reason in the log."""
        reason = self._obstacle(network._it, config._it)
        if reason is None and not self._proceed(config._it.progress_monitor):
            reason = "Build was cancelled by the progress monitor"
        if reason is not None:
            self.surface.world.say(self.surface, self.logger, "ERROR", reason)
            return None
        if self.surface.world.is_rtx:
            self.surface.world.say(self.surface, self.logger, "VERBOSE", LAYERS)
        return self._plan(network._it, config._it)

    def _obstacle(self, network: _Network, config: _Config) -> str | None:
        if "build_serialized_network" in self.surface.world.refuse:
            return "Error Code 10: Could not find any implementation for node"
        if network.model is None:
            return "Error Code 4: Network must have at least one output"
        if network.is_strongly_typed and config.names() & PRECISION_FLAGS:
            return "Error Code 3: a precision flag is set and the network is strongly typed"
        return None

    def _proceed(self, monitor: Any) -> bool:
        if monitor is None:
            return True
        initialised(monitor, "tensorrt.IProgressMonitor")
        steps = self.surface.world.steps
        monitor.phase_start("Building Engine", None, steps)
        monitor.phase_start("Tactic timing", "Building Engine", steps)
        going = all(monitor.step_complete("Tactic timing", step) for step in range(steps))
        monitor.phase_finish("Tactic timing")
        going = going and all(monitor.step_complete("Building Engine", i) for i in range(steps))
        monitor.phase_finish("Building Engine")
        return going

    def _plan(self, network: _Network, config: _Config) -> Any:
        model: bytes = network.model  # type: ignore[assignment]
        cache = None if config.cache is None else config.cache._it
        self.surface.world.builds.append(
            {
                "flags": config.names(),
                "is_strongly_typed": network.is_strongly_typed,
                "workspace": config.pools.get("WORKSPACE"),
                "level": config.builder_optimization_level,
                "cached": cache is not None and hashlib.sha256(model).hexdigest() in cache.known,
            }
        )
        if cache is not None:
            cache.known.add(hashlib.sha256(model).hexdigest())
        here = "".join(str(part) for part in self.surface.world.device.compute_capability)
        header = {
            "tensorrt": self.surface.version,
            "compute_capabilities": config.targets or [here],
            "sha256": hashlib.sha256(model).hexdigest(),
        }
        return _host_memory(PLAN_MAGIC + json.dumps(header).encode() + b"\n" + model)


class _Network:
    num_layers = 0  # the double executes the ONNX file

    def __init__(self, surface: Surface, is_strongly_typed: bool) -> None:
        self.is_strongly_typed = is_strongly_typed
        self.model: bytes | None = None


class _Config:
    def __init__(self, surface: Surface) -> None:
        self.surface = surface
        self.builder_optimization_level = 3
        self.profiling_verbosity = surface.named("ProfilingVerbosity", "LAYER_NAMES_ONLY")
        self.progress_monitor: Any = None
        self.pools: dict[str, int] = {}
        self.cache: Any = None
        self.num_compute_capabilities = 0
        self.targets: list[str] = []
        self._flags = {surface.named("BuilderFlag", "TF32")}

    def names(self) -> set[str]:
        return {flag.name for flag in self._flags}

    def set_flag(self, flag: Any) -> None:
        self._flags.add(self._checked(flag))

    def clear_flag(self, flag: Any) -> None:
        self._flags.discard(self._checked(flag))

    def get_flag(self, flag: Any) -> bool:
        return self._checked(flag) in self._flags

    def set_compute_capability(self, compute_capability: Named, index: int) -> bool:
        """Sets one target; returns False when there are fewer."""
        refused = "set_compute_capability" in self.surface.world.refuse
        if refused or index >= self.num_compute_capabilities:
            return False
        self.targets[index:] = [compute_capability.name.removeprefix("SM")]
        return True

    def set_memory_pool_limit(self, pool: Named, pool_size: int) -> None:
        self.pools[pool.name] = pool_size

    def create_timing_cache(self, serialized_timing_cache: bytes) -> Any:
        """Returns a cache, also one of another device; None for content that is not a cache."""
        content = bytes(serialized_timing_cache)
        if content and not content.startswith(b"timings "):
            return None
        return self.surface.wrap("ITimingCache", content)

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        fits = cache._it.of in {"", cache._it.here()}
        if fits or ignore_mismatch:
            self.cache = cache
        return fits or ignore_mismatch

    def get_timing_cache(self) -> Any:
        return self.cache

    def _checked(self, flag: Any) -> Any:
        if flag not in self.surface.classes["BuilderFlag"].__members__.values():
            raise TypeError(f"incompatible function arguments: {flag!r} is no BuilderFlag")
        return flag


class _TimingCache:
    def __init__(self, surface: Surface, content: bytes) -> None:
        self.surface = surface
        fields = content.decode().split(" ") if content else ["", ""]
        self.of, self.known = fields[1], set(fields[2:])

    def here(self) -> str:
        return f"{self.surface.version}:{self.surface.world.device.name.replace(' ', '_')}"

    def combine(self, input_cache: Any, ignore_mismatch: bool) -> bool:
        self.known |= input_cache._it.known
        return True

    def serialize(self) -> Any:
        return _host_memory(" ".join(["timings", self.here(), *sorted(self.known)]).encode())


class _Parser:
    def __init__(self, surface: Surface, network: Any, logger: Any) -> None:
        self.surface, self._network = surface, network
        self.logger = initialised(logger, "tensorrt.ILogger")
        self._errors: list[tuple[str, str, int, str, str]] = []

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> Any:
        return self.surface.wrap("ParserError", *self._errors[index])

    def parse_from_file(self, model: str) -> bool:
        """Reads the graph; returns False with errors when it cannot."""
        if not isinstance(model, str):
            raise TypeError("parse_from_file(): incompatible function arguments")
        try:
            graph = onnx.load(model)
            onnx.checker.check_model(graph, full_check=True)
        except (OSError, ValidationError, onnx.shape_inference.InferenceError) as error:
            self._errors.append(("INVALID_GRAPH", str(error).splitlines()[0], -1, "", ""))
            return False
        except Exception as error:  # noqa: BLE001 - protobuf's DecodeError has no fixed home
            text = f"Failed to parse the ONNX model: {error}"
            self._errors.append(("MODEL_DESERIALIZE_FAILED", text, -1, "", ""))
            return False
        for i, node in enumerate(graph.graph.node):
            if node.op_type in UNSUPPORTED:
                text = f"No importer registered for op: {node.op_type}"
                self._errors.append(("UNSUPPORTED_NODE", text, i, node.name, node.op_type))
        self._network._it.model = Path(model).read_bytes()
        return not self._errors


class _ParserError:
    def __init__(  # noqa: PLR0917
        self, surface: Surface, code: str, desc: str, node: int, name: str, operator: str
    ) -> None:
        self.code = lambda: surface.named("ErrorCode", code)
        self.desc, self.node = (lambda: desc), (lambda: node)
        self.node_name, self.node_operator = (lambda: name), (lambda: operator)


class _HostMemory(bytes):
    """Supports `memoryview`, which a plain class cannot before Python 3.12."""

    nbytes = property(len)


def _host_memory(content: bytes) -> _HostMemory:
    return _HostMemory(content)


BEHAVIOURS: dict[str, type] = {
    "Builder": _Builder,
    "INetworkDefinition": _Network,
    "IBuilderConfig": _Config,
    "ITimingCache": _TimingCache,
    "OnnxParser": _Parser,
    "ParserError": _ParserError,
}
