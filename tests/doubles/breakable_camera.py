"""The process of a camera whose SDK fails at a signal.

SIGUSR1: the next frames of the pylon emulator are incomplete. SIGUSR2: its next call raises.
"""

from __future__ import annotations

import signal

from edge.camera import PylonConfig, child
from edge.camera.base import LiveCamera
from edge.camera.pylon import PylonCamera
from edge.part.frame import Frame

BAD_FRAMES = 20


class BreakablePylon(PylonCamera):
    """Fails at the next read after a signal."""

    failing = 0

    def read(self, timeout_s: float) -> Frame | None:
        """Reads a frame, after the failure that a signal asked for."""
        number, self.failing = self.failing, 0
        if number == signal.SIGUSR1:
            nodes = self._camera.GetNodeMap()
            nodes.GetNode("ForceFailedBufferCount").SetValue(BAD_FRAMES)
            nodes.GetNode("ForceFailedBuffer").Execute()
        if number == signal.SIGUSR2:
            self._camera.GetStreamGrabberNodeMap().GetNode("ImposedError").SetValue("unplugged")
        return super().read(timeout_s)


def build(config: str) -> LiveCamera:
    """Returns the camera of a configuration in JSON."""
    given = child.config_from_json(config)
    if not isinstance(given, PylonConfig):
        return given.driver()
    camera = BreakablePylon(given)

    def fail(number: int, _stack: object) -> None:
        camera.failing = number

    signal.signal(signal.SIGUSR1, fail)
    signal.signal(signal.SIGUSR2, fail)
    return camera


if __name__ == "__main__":
    child.main(build)
