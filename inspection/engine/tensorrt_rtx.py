"""TensorRT for RTX on a card of NVIDIA: runs a plan that `linewarden build --verify` took into use.

A plan of TensorRT for RTX is built without a device and fits several kinds of cards. At its first
load the library compiles kernels for the card, which takes seconds. Verification keeps these
kernels beside the plan, and the line starts with them.

No run on a card has tested this file: the tests run it over a double of the recorded bindings.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any, ClassVar

from inspection.engine.sidecar import KERNELS, Runtime, Sidecar
from inspection.engine.tensorrt import OpenContext, TensorRtEngine
from inspection.errors import BundleError

_log = logging.getLogger(__name__)


class TensorRtRtxEngine(TensorRtEngine):
    """Runs one plan of a bundle like `TensorRtEngine`, with the kernels beside it."""

    _runtime: ClassVar[Runtime] = "tensorrt-rtx"

    def _context_opener(self, artefact: Path, sidecar: Sidecar) -> OpenContext:
        path = artefact.with_name(KERNELS)
        return KernelCache(_read_kernels(path, sidecar.kernels_sha256), str(path)).open_context


class KernelCache:
    """The kernels that TensorRT for RTX compiles at the first load of a plan.

    Args:
        content: kernels of an earlier load; empty to compile all.
        name: place of `content`, for the log.
    """

    def __init__(self, content: bytes = b"", name: str = "") -> None:
        self._content, self._name = content, name
        self._cache: Any = None

    def open_context(self, trt: Any, engine: Any) -> Any:
        """Returns an execution context that uses the kernels; None when the library gives none."""
        del trt
        config = engine.create_runtime_config()
        self._cache = config.create_runtime_cache()
        if self._content and not self._cache.deserialize(self._content):
            # The library compares its version, the device and the driver with the cache.
            _log.warning(
                "%s: these kernels are for another driver or device, so that each start compiles "
                "them anew; keep new ones with: linewarden build --verify BUNDLE",
                self._name,
            )
        config.set_runtime_cache(self._cache)
        return engine.create_execution_context(config)

    def content(self) -> bytes:
        """Returns the kernels after a run, for the next load; empty before `open_context`."""
        if self._cache is None:
            return b""
        return bytes(memoryview(self._cache.serialize()))


def _read_kernels(path: Path, expected: str | None) -> bytes:
    """Reads the kernels that a sidecar names; they are executable, like the plan."""
    if expected is None:
        return b""
    mend = "linewarden build --verify BUNDLE"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}): {mend}") from error
    actual = hashlib.sha256(content).hexdigest()
    if actual != expected:
        raise BundleError(
            f"{path}: is not what was compiled (SHA-256 {actual[:12]}, the sidecar says "
            f"{expected[:12]}): {mend}"
        )
    return content
