"""Ways out to the line, imported only when a configuration names them.

To add one, write a file with a class like `jsonlines.JsonLines`, add a line to `OUTPUTS` and its
configuration here.
"""

from __future__ import annotations

from typing import Literal

from edge.config import ConfigPath, StrictModel
from edge.errors import LineError
from edge.line.base import LineOutput
from edge.plugins import Plugin, load_plugin

__all__ = ["OUTPUTS", "JsonLinesConfig", "LineOutput", "OutputConfig", "output_from_config"]

OUTPUTS = {
    "jsonlines": Plugin("edge.line.jsonlines", "JsonLines", "pip install linewarden"),
}


class JsonLinesConfig(StrictModel):
    """One JSON object per part, in a line of its own.

    Attributes:
        path: file to append to; "-" is standard output.
    """

    kind: Literal["jsonlines"]
    path: Literal["-"] | ConfigPath


# The second kind makes this a union with Field(discriminator="kind").
OutputConfig = JsonLinesConfig


def output_from_config(config: OutputConfig) -> LineOutput:
    """The output that `config` describes, not yet opened.

    Raises:
        LineError: what the output needs is not installed.
    """
    factory = load_plugin("output", config.kind, OUTPUTS, LineError)
    settings = {name: value for name, value in config if name != "kind"}
    output: LineOutput = factory(**settings)
    return output
