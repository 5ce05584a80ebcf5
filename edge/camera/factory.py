"""Makes the camera that a line reads."""

from __future__ import annotations

from edge.camera.base import Camera
from edge.camera.isolated import IsolatedCamera
from edge.camera.kind import LiveConfig
from edge.camera.replay import ReplayConfig
from inspection.config.secret import REVEALED


def camera_from_config(config: ReplayConfig | LiveConfig) -> Camera:
    """Makes the camera of a configuration, not yet open.

    A live camera gets a process; its `open` reports a missing package. A recording runs in the
    process of its reader.
    """
    if not isinstance(config, LiveConfig):
        return config.driver()
    return IsolatedCamera(
        config.model_dump_json(context=dict(REVEALED)),
        name=f"camera {config.kind_name()!r}",
        open_limit_s=config.open_limit_s,
        hung_limit_s=config.hung_limit_s,
        silent_limit_s=config.silent_limit_s,
        window=config.window,
    )
