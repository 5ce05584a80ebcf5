"""What every camera offers the pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from edge.part.frame import Frame


class EndOfRecording(Exception):  # noqa: N818 - not an error: the orderly end of a replay
    """A replay has no more frames."""


class Camera(Protocol):
    """A source of frames. One thread owns it from `open` to `close`.

    A recording waits to be read. A real camera does not: a frame that comes while others wait for
    inspection is refused, not delayed.
    """

    @property
    def waits(self) -> bool:
        """Whether `read` gives a frame only when it is called."""

    def open(self) -> None:
        """Connect and start acquisition.

        Raises:
            CameraError: it cannot be opened; the message says what to check.
        """

    def read(self, timeout_s: float) -> Frame | None:
        """Wait for the next frame; None when none came within `timeout_s`.

        Raises:
            FrameError: this frame is unusable, and the camera goes on.
            CameraError: the camera is lost.
            EndOfRecording: there will be no more frames.
        """

    def close(self) -> None:
        """Stop acquisition and release the camera. Safe to call twice, and without `open`."""


class LiveCamera(Camera, Protocol):
    """A real camera, which `IsolatedCamera` runs in a process of its own."""

    @property
    def runs_free(self) -> bool:
        """Whether the open camera gives frames by itself, so that silence is a fault."""

    def describe(self) -> Mapping[str, object]:
        """What the open camera says of itself, in types that JSON has; from any thread.

        Raises:
            CameraError: it is not open, or does not answer.
        """


@runtime_checkable
class SoftwareTriggered(Protocol):
    """A camera that can be triggered by a call."""

    def trigger(self) -> None:
        """Expose one frame now; from any thread, also while another one is in `read`.

        Raises:
            CameraError: the camera did not take it.
        """


@runtime_checkable
class OpensInTime(Protocol):
    """A camera that ends by itself an `open` that hangs."""

    @property
    def open_limit_s(self) -> float:
        """How long `close` and `open` take together at most."""
