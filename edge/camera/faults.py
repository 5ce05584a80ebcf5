"""What can go wrong with a live camera, each with its own name.

::

    CameraError
    |-- CameraNotFoundError      no such camera, nobody answers, or the driver is not there
    |-- CameraSettingError       the camera did not take a setting
    |-- CameraLostError          it was open and is gone, or its process is: open it again
    |-- CameraHungError          a call into its SDK did not come back; its process was ended
    `-- FrameError               one frame; the camera goes on
        |-- PartialFrameError    packets or lines are missing, or it could not be decoded
        |-- WrongFrameError      other size or pixel format than when it was opened
        |-- StaleFrameError      older than it may be
        `-- MissingFrameError    the camera counted a frame that never came

No frame in time (no trigger) is no error: `read` returns None.
"""

from __future__ import annotations

from collections.abc import Mapping

from inspection.errors import CameraError, FrameError


class CameraNotFoundError(CameraError):
    """The camera is not there, or not the only one that fits, or refuses the connection."""


class CameraSettingError(CameraError):
    """The camera does not have a setting, refused it, or took another value."""


class CameraLostError(CameraError):
    """An open camera was unplugged, lost power or network, ended its stream, fell silent while
    it runs free, or its process ended.
    """


class CameraHungError(CameraError):
    """A call into the SDK did not return in time; the camera's process was ended to free it."""


class PartialFrameError(FrameError):
    """A frame with missing packets or lines, or one that cannot be decoded."""


class WrongFrameError(FrameError):
    """A frame of another size or pixel format than the camera was opened with."""


class StaleFrameError(FrameError):
    """A frame that is older than the configuration allows, or the same one again."""


class MissingFrameError(FrameError):
    """A number in the camera's own count of frames was left out."""


NAMES: Mapping[str, type[CameraError]] = {
    kind.__name__: kind
    for kind in (
        CameraError,
        CameraNotFoundError,
        CameraSettingError,
        CameraLostError,
        CameraHungError,
        FrameError,
        PartialFrameError,
        WrongFrameError,
        StaleFrameError,
        MissingFrameError,
    )
}
"""The kinds above by name, as they are told from one process to another."""


def name_of(error: CameraError) -> str:
    """The key of the error's kind in `NAMES`, or of the nearest kind above it."""
    return next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in NAMES)
