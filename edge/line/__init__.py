"""Ways out to the line, imported only when a configuration names them.

To add one, write a file with a configuration and a class like those of `jsonlines`, and add them to
`OUTPUTS` and to `OutputConfig` in `edge.line_config`.
"""

from __future__ import annotations

from edge.plugins import Plugin

OUTPUTS = {
    "jsonlines": Plugin("edge.line.jsonlines", "JsonLinesOutput", "it comes with linewarden"),
}
