"""Every frame is a part: a hardware trigger on the camera, or a recording."""

from __future__ import annotations

from typing import Literal

from edge.encoder import Encoder
from edge.part.frame import Frame
from edge.trigger.base import KindConfig


class CameraTriggerConfig(KindConfig):
    """Takes each frame as a part: a hardware trigger at the camera, or a recording."""

    kind: Literal["camera"] = "camera"

    def driver(self, _encoder: Encoder | None) -> CameraTrigger:
        """Returns the trigger, not yet opened."""
        return CameraTrigger()


class CameraTrigger:
    """Relies on triggered cameras, which deliver a frame for every part."""

    lost = ""

    def announces(self, view: str) -> bool:  # noqa: ARG002 - one signal exposes all cameras
        """Returns True for every view."""
        return True

    def opens(self, view: str, frame: Frame | None) -> bool:  # noqa: ARG002 - any frame will do
        """Returns True for every frame."""
        return True
