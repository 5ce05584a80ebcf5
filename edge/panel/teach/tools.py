"""The packages that a job needs, and whether they are installed here. Imports none of them."""

from __future__ import annotations

from importlib.util import find_spec
from typing import NamedTuple


class Tool(NamedTuple):
    """A command with the packages that it needs, and the extra of this package that has them."""

    packages: tuple[str, ...]
    extra: str


TOOLS = {
    "teach": Tool(("torch", "timm", "onnx", "onnxscript", "scipy"), "export"),
    "calibrate": Tool(("scipy", "tqdm", "onnxruntime"), "onnxruntime,calibration"),
    "promise": Tool(("scipy",), "calibration"),
    "try": Tool(("onnxruntime",), "onnxruntime"),
}


def missing(kind: str) -> list[str]:
    """Returns the packages that a kind of job lacks on this device."""
    return [name for name in TOOLS[kind].packages if find_spec(name) is None]
