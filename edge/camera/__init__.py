"""Cameras, imported only when a configuration names them.

To add one, write a file with a configuration and a class like those of `replay`, and add them to
`CAMERAS` and to `CameraConfig` in `edge.line_config`.
"""

from __future__ import annotations

from edge.plugins import Plugin

CAMERAS = {
    "replay": Plugin("edge.camera.replay", "ReplayCamera", "it comes with linewarden"),
}
