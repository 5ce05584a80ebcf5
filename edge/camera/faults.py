"""What can go wrong with a live camera, each with its own name.

::

    CameraError
    |-- CameraNotFoundError      no such camera, nobody answers, or the driver is not there
    |-- CameraSettingError       the camera did not take a setting
    |-- CameraLostError          it was open and is gone: open it again
    |-- CameraHungError          a call into its SDK does not come back: end this process
    `-- FrameError               one frame; the camera goes on
        |-- PartialFrameError    packets or lines are missing, or it could not be decoded
        |-- WrongFrameError      other size or pixel format than when it was opened
        |-- StaleFrameError      older than it may be
        `-- MissingFrameError    the camera counted a frame that never came

No frame in time (no trigger) is no error: `read` returns None.
"""

from __future__ import annotations

from edge.errors import CameraError, FrameError


class CameraNotFoundError(CameraError):
    """The camera is not there, or not the only one that fits, or refuses the connection."""


class CameraSettingError(CameraError):
    """The camera does not have a setting, refused it, or took another value."""


class CameraLostError(CameraError):
    """An open camera was unplugged, lost power or network, or ended its stream."""


class CameraHungError(CameraError):
    """A call into the SDK does not return; what it holds is freed by ending the process."""


class PartialFrameError(FrameError):
    """A frame with missing packets or lines, or one that cannot be decoded."""


class WrongFrameError(FrameError):
    """A frame of another size or pixel format than the camera was opened with."""


class StaleFrameError(FrameError):
    """A frame that is older than the configuration allows, or the same one again."""


class MissingFrameError(FrameError):
    """A number in the camera's own count of frames was left out."""
