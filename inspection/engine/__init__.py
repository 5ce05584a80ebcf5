"""Lists the inference engines, and imports one only when a configuration names it.

To add one, write a file with a class like `onnxruntime.OnnxRuntimeEngine` and add a line to
`ENGINES`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from inspection.config.plugins import Plugin, load_plugin
from inspection.engine.base import THREADS_MAX, Engine, EngineFactory, GraphShape, Prediction
from inspection.engine.triton import TritonServer
from inspection.errors import EngineError

__all__ = [
    "ENGINES",
    "THREADS_MAX",
    "Engine",
    "EngineFactory",
    "GraphShape",
    "Prediction",
    "TritonServer",
    "engine_class",
]

ENGINES = {
    "onnxruntime": Plugin(
        "inspection.engine.onnxruntime",
        "OnnxRuntimeEngine",
        "pip install 'linewarden[onnxruntime]'",
    ),
    "openvino": Plugin(
        "inspection.engine.openvino", "OpenVinoEngine", "pip install 'linewarden[openvino]'"
    ),
    "tensorrt": Plugin(
        "inspection.engine.tensorrt", "TensorRtEngine", "linewarden doctor says what is missing"
    ),
    "tensorrt-rtx": Plugin(
        "inspection.engine.tensorrt_rtx",
        "TensorRtRtxEngine",
        "pip install 'linewarden[tensorrt-rtx]'",
    ),
    "triton": Plugin(
        "inspection.engine.triton", "TritonEngine", "pip install 'linewarden[triton]'"
    ),
}


def engine_class(
    name: str, compute: str = "fp32", server: TritonServer | None = None
) -> EngineFactory:
    """Returns the class of engine `name`.

    Args:
        compute: precision of the operations in floating point, where the engine has a choice; see
            `inspection.engine.cpu_record`.
        server: where the engine `triton` finds its model.

    Raises:
        EngineError: the name is unknown, or a package of the engine is not installed.
    """
    plugin = load_plugin("engine", name, ENGINES, EngineError)
    choices: dict[str, Any] = {"compute": compute} if compute != "fp32" else {}
    if server is not None:
        choices["server"] = server
    factory: EngineFactory = partial(plugin, **choices) if choices else plugin
    return factory
