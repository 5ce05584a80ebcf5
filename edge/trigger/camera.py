"""Every frame is a part: a hardware trigger on the camera, or a recording."""

from __future__ import annotations

from edge.part.frame import Frame


class CameraTrigger:
    """The cameras themselves are triggered, and give a frame for every part."""

    def opens(self, view: str, frame: Frame | None) -> bool:  # noqa: ARG002 - any frame will do
        """Always; see `FrameTrigger.opens`."""
        return True
