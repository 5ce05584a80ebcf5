"""The camera that the line reads, from its configuration."""

from __future__ import annotations

from edge.camera.base import Camera
from edge.camera.isolated import IsolatedCamera
from edge.camera.kind import LiveConfig
from edge.camera.replay import ReplayConfig


def camera_from_config(config: ReplayConfig | LiveConfig) -> Camera:
    """The camera that `config` describes, not yet opened.

    A live camera runs in a process of its own and tells in `open` what it needs and is not
    installed; a recording in that of its reader.
    """
    if not isinstance(config, LiveConfig):
        return config.driver()
    return IsolatedCamera(
        config.model_dump_json(),
        name=f"camera {config.kind_name()!r}",
        open_limit_s=config.open_limit_s,
        hung_limit_s=config.hung_limit_s,
        silent_limit_s=config.silent_limit_s,
    )
