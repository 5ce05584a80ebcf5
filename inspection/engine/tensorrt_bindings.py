"""Loads the installed package `tensorrt`, checks its version, and routes its log."""

from __future__ import annotations

import logging
import platform
import threading
from functools import cache
from importlib import import_module
from typing import Any

from inspection.engine.cuda import Device
from inspection.engine.sidecar import Platform, l4t_release
from inspection.errors import EngineError

_log = logging.getLogger(__name__)

OLDEST = (10, 3)
_LEVELS = {
    "INTERNAL_ERROR": logging.ERROR,
    "ERROR": logging.ERROR,
    "WARNING": logging.WARNING,
    "INFO": logging.INFO,
    "VERBOSE": logging.DEBUG,
}


def load_bindings() -> Any:
    """Returns the module `tensorrt`; raises EngineError when it is missing, broken or too old."""
    try:
        bindings = import_module("tensorrt")
    except ModuleNotFoundError as error:
        if error.name != "tensorrt":
            raise
        raise EngineError(
            "engine 'tensorrt' needs the package tensorrt, and it is not installed (JetPack: apt "
            "install python3-libnvinfer, and a venv with --system-site-packages; else: pip install "
            "tensorrt-cu12 or tensorrt-cu13)"
        ) from error
    except ImportError as error:
        raise EngineError(
            f"the package tensorrt does not load ({error}): linewarden doctor says what is missing"
        ) from error
    version = tuple(int(part) for part in bindings.__version__.split(".")[:2])
    if version < OLDEST:
        raise EngineError(
            f"TensorRT {bindings.__version__} is too old: Linewarden needs 10.3 (JetPack 6.1) or "
            "later"
        )
    return bindings


@cache
def process_logger(trt: Any) -> Any:
    """Returns the process-wide logger of TensorRT; its `take()` returns the latest errors."""
    # TensorRT keeps the first logger that it gets for the whole process.

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # pybind11 needs the call by name
            self._errors: list[str] = []
            self._lock = threading.Lock()

        def log(self, severity: Any, msg: str) -> None:
            """Logs a message; TensorRT calls this from any thread."""
            level = _LEVELS[severity.name]
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


def platform_here(trt: Any, device: Device) -> Platform:
    """Describes this machine, for comparison with the platform of a plan."""
    return Platform(
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
