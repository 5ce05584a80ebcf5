"""The protocols of cameras: `Camera` for the pipeline, and the extras of some drivers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from edge.part.frame import Frame


class EndOfRecording(Exception):  # noqa: N818 - not an error: the orderly end of a replay
    """The recording has no further frame."""


class Camera(Protocol):
    """A source of frames. One thread owns it from `open` to `close`.

    A recording waits for its reader. A real camera does not: the pipeline refuses a frame that
    arrives while others wait for inspection.
    """

    @property
    def waits(self) -> bool:
        """True when the next frame comes only with a call of `read`."""

    def open(self) -> None:
        """Connects and starts acquisition.

        Raises:
            CameraError: the camera cannot be opened; the message says what to check.
        """

    def read(self, timeout_s: float) -> Frame | None:
        """Returns the next frame, or None after `timeout_s` without one.

        Raises:
            FrameError: this frame is unusable; the camera goes on.
            CameraError: the camera is lost.
            EndOfRecording: the recording has no further frames.
        """

    def close(self) -> None:
        """Stops acquisition and releases the camera. Safe to call twice, and without `open`."""


class LiveCamera(Camera, Protocol):
    """A real camera. `IsolatedCamera` runs it in a separate process."""

    @property
    def runs_free(self) -> bool:
        """True when the open camera sends frames untriggered, so that silence is a fault."""

    def describe(self) -> Mapping[str, object]:
        """Returns the settings of the open camera, in types that JSON has; from any thread.

        Raises:
            CameraError: the camera is not open, or does not answer.
        """


@runtime_checkable
class SoftwareTriggered(Protocol):
    """A camera with a software trigger."""

    def trigger(self) -> None:
        """Exposes one frame now; from any thread, also while another thread is in `read`.

        Raises:
            CameraError: the camera did not accept the trigger.
        """


@runtime_checkable
class OpensInTime(Protocol):
    """A camera with its own time limit for `open`."""

    @property
    def open_limit_s(self) -> float:
        """The longest time that `close` and `open` take together."""


@runtime_checkable
class AbortsOpen(Protocol):
    """A camera whose `open` can be ended early."""

    def abort_open(self) -> None:
        """Lets an `open` under way, or about to begin, fail at once.

        From any thread or handler, without waiting. After the next `close` it has no effect.
        """
