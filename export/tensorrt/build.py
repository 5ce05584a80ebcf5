"""From an ONNX graph to a plan of TensorRT or TensorRT for RTX. No torch, no onnx.

TensorRT builds on the device that will run the plan. TensorRT for RTX also builds for cards that
are not there, without a GPU, when the options name compute capabilities. Networks are strongly
typed on every version: the graph sets the precision. Precision flags, calibrators and layer
precisions are not used (TensorRT 11 no longer has them). The code looks up by name what is newer
than 10.3, and writes no enumeration value as a number.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from export.tensorrt.products import replace_products
from inspection.engine.rtx_cards import RTX_CARDS, TURING
from inspection.engine.tensorrt_bindings import name_of, process_logger
from inspection.errors import BundleError, ConfigError, EngineError, listed
from inspection.files import locked, utf8_path, write_bytes

_log = logging.getLogger(__name__)

LEVELS = range(6)


class BuildCancelledError(EngineError):
    """Somebody cancelled the build."""


class Progress(Protocol):
    """Follows a build; TensorRT calls it, perhaps from several threads."""

    def start(self, phase: str, steps: int) -> None:
        """Begins a phase of `steps` steps."""

    def step(self, phase: str) -> bool:
        """Counts a finished step of the phase; returns False to cancel the build."""

    def finish(self, phase: str) -> None:
        """Ends the phase."""


@dataclass(frozen=True)
class BuildOptions:
    """Settings of a build.

    Attributes:
        workspace_mib: memory that a kernel may use, MiB. TensorRT's own default is the whole memory
            of the device, which on a Jetson is also that of the system.
        optimisation_level: 0 to 5; more tries more kernels. 3 is TensorRT's default.
        timing_cache: file that makes the next build faster; each build rewrites it.
        tf32: multiply FP32 values of the graph with the 10 bits of mantissa that FP16 has.
        capabilities: compute capabilities such as "8.9" that the plan must run on; empty for the
            device here. Only TensorRT for RTX takes them, and only without a timing cache: a cache
            makes it look for a device.
    """

    workspace_mib: int = 1024
    optimisation_level: int = 3
    timing_cache: Path | None = None
    tf32: bool = False
    capabilities: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises ConfigError for a value outside its range."""
        if self.workspace_mib < 1:
            raise ConfigError(f"the workspace is {self.workspace_mib} MiB: give at least 1")
        if self.optimisation_level not in LEVELS:
            raise ConfigError(
                f"the optimisation level is {self.optimisation_level}: give one from "
                f"{LEVELS[0]} to {LEVELS[-1]}"
            )


def build_plan(trt: Any, graph: Path, options: BuildOptions, progress: Progress) -> bytes:
    """Builds a plan of an ONNX file.

    Args:
        trt: the module of TensorRT or of TensorRT for RTX.
        graph: typed ONNX file with fixed shapes.

    Raises:
        BuildCancelledError: `progress` cancelled the build.
        EngineError: there is no device, the parser refuses the graph, or the build failed; the
            message quotes TensorRT.
    """
    log = process_logger(trt)
    log.take()
    try:
        builder = trt.Builder(log)
    except TypeError as error:  # pybind11 raises it for a factory that returns None
        raise EngineError(
            f"TensorRT finds no device: {log.take()}; run linewarden doctor for the reason"
        ) from error
    network = builder.create_network(_network_flags(trt))
    parser = trt.OnnxParser(network, log)
    with utf8_path(graph) as path:
        is_read = parser.parse_from_file(path)
    if not is_read:
        raise EngineError(f"{graph}: {name_of(trt)} {_parser_errors(parser, log)}")
    if RTX_CARDS[TURING] in options.capabilities:
        replace_products(trt, network)
    monitor = _monitor(trt, progress)  # kept alive here: the configuration only borrows it
    config = _configuration(trt, builder, options)
    config.progress_monitor = monitor
    with _timing_cache(config, options.timing_cache):
        plan = builder.build_serialized_network(network, config)
        if plan is None and monitor.is_cancelled:
            raise BuildCancelledError(f"{graph}: the build was cancelled; nothing was written")
        if plan is None:
            raise EngineError(f"{graph}: {name_of(trt)} built no engine: {log.take()}")
    return bytes(memoryview(plan))


def _network_flags(trt: Any) -> int:
    """Returns the flag for strong typing; TensorRT 11 always types strongly, without a flag."""
    if int(trt.__version__.partition(".")[0]) >= 11:
        return 0
    return 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


def _configuration(trt: Any, builder: Any, options: BuildOptions) -> Any:
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib << 20)
    config.builder_optimization_level = options.optimisation_level
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    tf32 = trt.BuilderFlag.TF32  # on by default
    if options.tf32:
        config.set_flag(tf32)
    else:
        config.clear_flag(tf32)
    if options.capabilities:
        config.num_compute_capabilities = len(options.capabilities)
    for index, capability in enumerate(options.capabilities):
        kind = getattr(trt.ComputeCapability, f"SM{capability.replace('.', '')}")
        if not config.set_compute_capability(kind, index):
            raise EngineError(
                f"{name_of(trt)} does not build for compute capability {capability}: leave it out"
            )
    return config


def _parser_errors(parser: Any, log: Any) -> str:
    errors = []
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        where = f"node {error.node()} {error.node_name()!r} ({error.node_operator()}): "
        errors.append((where if error.node() >= 0 else "") + f"{error.code().name}: {error.desc()}")
    if not errors:
        return f"cannot parse it: {log.take()}"
    return listed(f"cannot parse it, {len(errors)} errors:", errors)


def _monitor(trt: Any, progress: Progress) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)  # pybind11 needs the explicit call
            self.is_cancelled = False

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            del parent_phase
            progress.start(phase_name, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            del step
            self.is_cancelled = not progress.step(phase_name) or self.is_cancelled
            return not self.is_cancelled

        def phase_finish(self, phase_name: str) -> None:
            progress.finish(phase_name)

    return Monitor()


@contextmanager
def _timing_cache(config: Any, path: Path | None) -> Iterator[None]:
    """Gives the builder the timings of earlier builds, and keeps those of this one on success.

    Two builds at a time both keep theirs: each adds its timings to those in the file.
    """
    if path is None:
        yield
        return
    cache = _known_timings(config, path)
    if cache is None or not config.set_timing_cache(cache, False):
        _log.warning("%s: belongs to another device or TensorRT; starting without timings", path)
        cache = config.create_timing_cache(b"")
        if cache is None or not config.set_timing_cache(cache, False):
            raise EngineError(f"{path}: TensorRT does not take a timing cache; build without one")
    yield
    try:
        _keep_timings(config, path)
    except (OSError, BundleError) as error:  # keep the engine all the same
        _log.warning("%s: could not keep the timings of this build: %s", path, error)


def _keep_timings(config: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_name(path.name + ".lock"), str(path)):
        timings = config.get_timing_cache()
        latest = _known_timings(config, path)
        if latest is not None:
            timings.combine(latest, False)
        write_bytes(path, bytes(memoryview(timings.serialize())), private=True)


def _known_timings(config: Any, path: Path) -> Any:
    """Reads the cache file; an empty cache without a file, None when the file is not a cache."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        content = b""
    except OSError as error:
        raise ConfigError(f"{path}: the timing cache cannot be read ({error.strerror})") from error
    return config.create_timing_cache(content)
