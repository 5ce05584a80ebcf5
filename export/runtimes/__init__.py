"""Other runtimes that can serve a bundle's graph, each imported only on demand.

To add one, write a module with a function like `triton.write_triton` and add a line to `RUNTIMES`.
"""

from __future__ import annotations

from export.runtimes.base import Options, Writer
from inspection.config.plugins import Plugin, load_plugin
from inspection.errors import ConfigError

__all__ = ["RUNTIMES", "Options", "Writer", "writer_for"]

RUNTIMES = {
    "deepstream": Plugin(
        "export.runtimes.deepstream", "write_deepstream", "pip install 'linewarden[export]'"
    ),
    "openvino": Plugin(
        "export.runtimes.openvino", "write_openvino", "pip install 'linewarden[openvino]'"
    ),
    "triton": Plugin(
        "export.runtimes.triton", "write_triton", "pip install 'linewarden[onnxruntime]'"
    ),
}


def writer_for(name: str) -> Writer:
    """Returns the function that writes the files of runtime `name`.

    Raises:
        ConfigError: the name is unknown, or a package that it needs is not installed.
    """
    writer: Writer = load_plugin("runtime", name, RUNTIMES, ConfigError)
    return writer
