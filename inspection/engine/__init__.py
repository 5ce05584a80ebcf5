"""Lists the inference engines, and imports one only when a configuration names it.

To add one, write a file with a class like `onnxruntime.OnnxRuntimeEngine` and add a line to
`ENGINES`.
"""

from __future__ import annotations

from functools import partial

from inspection.config.plugins import Plugin, load_plugin
from inspection.engine.base import Engine, EngineFactory, GraphShape, Prediction
from inspection.errors import EngineError

__all__ = ["ENGINES", "Engine", "EngineFactory", "GraphShape", "Prediction", "engine_class"]

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
}


def engine_class(name: str, compute: str = "fp32") -> EngineFactory:
    """Returns the class of engine `name`.

    Args:
        compute: precision of the operations in floating point, where the engine has a choice; see
            `inspection.engine.cpu_record`.

    Raises:
        EngineError: the name is unknown, or a package of the engine is not installed.
    """
    plugin = load_plugin("engine", name, ENGINES, EngineError)
    factory: EngineFactory = plugin if compute == "fp32" else partial(plugin, compute=compute)
    return factory
