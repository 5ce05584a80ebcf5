"""Loads the Python package of TensorRT or TensorRT for RTX, checks it, and routes its log."""

from __future__ import annotations

import logging
import platform
import threading
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from inspection.engine.cuda import Device
from inspection.engine.rtx_cards import require_rtx_card, require_rtx_machine
from inspection.engine.sidecar import Platform, Runtime, l4t_release
from inspection.errors import EngineError

_log = logging.getLogger(__name__)

_LAYERS = "Layers:\n"
_LEVELS = {
    "INTERNAL_ERROR": logging.ERROR,
    "ERROR": logging.ERROR,
    "WARNING": logging.WARNING,
    "INFO": logging.INFO,
    "VERBOSE": logging.DEBUG,
}


@dataclass(frozen=True)
class _Package:
    """The Python package of a runtime.

    Attributes:
        title: its name in messages.
        module: its name at the import.
        oldest: version that the code needs, and the release that brought it.
        install: remedy when it is missing.
    """

    title: str
    module: str
    oldest: tuple[int, int]
    since: str
    install: str


_PACKAGES: dict[Runtime, _Package] = {
    "tensorrt": _Package(
        "TensorRT",
        "tensorrt",
        (10, 3),
        "10.3 (JetPack 6.1)",
        "JetPack: apt install python3-libnvinfer, and a venv with --system-site-packages; else: "
        "pip install tensorrt-cu12 or tensorrt-cu13",
    ),
    "tensorrt-rtx": _Package(
        "TensorRT for RTX",
        "tensorrt_rtx_bindings",
        (1, 7),
        "1.7",
        "on Linux x86-64: pip install 'linewarden[tensorrt-rtx]'",
    ),
}


def load_bindings(runtime: Runtime = "tensorrt") -> Any:
    """Returns the module of a runtime.

    Raises:
        EngineError: it is missing, broken or too old, or does not exist for this machine.
    """
    if runtime == "tensorrt-rtx":
        require_rtx_machine()
    package = _PACKAGES[runtime]
    try:
        bindings = import_module(package.module)
    except ModuleNotFoundError as error:
        if error.name != package.module:
            raise
        raise EngineError(
            f"engine {runtime!r} needs the package {package.module}, and it is not installed "
            f"({package.install})"
        ) from error
    except ImportError as error:
        raise EngineError(
            f"the package {package.module} does not load ({error}): linewarden doctor says what is "
            "missing"
        ) from error
    version = tuple(int(part) for part in bindings.__version__.split(".")[:2])
    if version < package.oldest:
        raise EngineError(
            f"{package.title} {bindings.__version__} is too old: Linewarden needs {package.since} "
            "or later"
        )
    return bindings


def name_of(trt: Any) -> str:
    """Returns the name and version of a runtime for messages."""
    rtx = _PACKAGES["tensorrt-rtx"]
    package = rtx if trt.__name__ == rtx.module else _PACKAGES["tensorrt"]
    return f"{package.title} {trt.__version__}"


@cache
def process_logger(trt: Any) -> Any:
    """Returns the process-wide logger of TensorRT.

    Its `take()` returns the latest errors, and `layers` holds the list of layers that the builder
    of TensorRT for RTX writes at the end of a build: without a device there is no inspector.
    """
    # TensorRT keeps the first logger that it gets for the whole process.

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # pybind11 needs the call by name
            self._errors: list[str] = []
            self.layers = ""
            self._lock = threading.Lock()

        def log(self, severity: Any, msg: str) -> None:
            """Logs a message; TensorRT calls this from any thread."""
            level = _LEVELS[severity.name]
            if msg.startswith(_LAYERS):
                self.layers = msg.removeprefix(_LAYERS)
            if level == logging.ERROR:
                with self._lock:
                    self._errors = [*self._errors[-19:], msg]
            _log.log(level, "TensorRT: %s", msg)

        def take(self) -> str:
            """Returns the errors since the last call, as one line."""
            with self._lock:
                errors, self._errors = self._errors, []
            return "; ".join(errors) or "it gives no reason"

    return Log()


def platform_here(trt: Any, device: Device, runtime: Runtime = "tensorrt") -> Platform:
    """Describes this machine, for comparison with the platform of a plan.

    Raises:
        EngineError: the runtime does not support the device.
    """
    if runtime == "tensorrt-rtx":
        require_rtx_card(device)
    return Platform(
        runtime=runtime,
        tensorrt=trt.__version__,
        cuda_driver=device.driver,
        cuda_runtime=device.runtime,
        device=device.name,
        compute_capability=device.compute_capability,
        multiprocessors=device.multiprocessors,
        uuid=device.uuid,
        machine=platform.machine(),
        system=platform.system(),
        l4t=l4t_release(),
    )
