"""The faults of a live camera, one class for each.

::

    CameraError
    |-- CameraNotFoundError      no such camera, no answer, or no driver
    |-- CameraSettingError       the camera did not accept a setting
    |-- CameraLostError          the open camera or its process is gone, or it gives no usable frame
    |                            any more: open it again
    |-- CameraHungError          a call into the SDK did not return; its process was ended
    `-- FrameError               one frame; the camera goes on
        |-- PartialFrameError    packets or lines are missing, or it could not be decoded
        |-- WrongFrameError      other size or pixel format than when it was opened
        |-- StaleFrameError      older than the configuration allows
        `-- MissingFrameError    the camera counted a frame that never came

No frame in time (no trigger) is not an error: `read` returns None.
"""

from __future__ import annotations

from collections.abc import Mapping

from inspection.errors import CameraError, FrameError

UNUSABLE_MAX = 20
"""Unusable frames one after the other of a camera that is there; then it is lost."""


class CameraNotFoundError(CameraError):
    """No camera fits, several fit, or the camera refuses the connection."""


class CameraSettingError(CameraError):
    """The camera has no such setting, refused it, or took another value."""


class CameraLostError(CameraError):
    """The open camera was unplugged, lost power or network, ended its stream, fell silent while it
    runs free, gives unusable frames alone, or its process ended.
    """


class CameraHungError(CameraError):
    """A call into the SDK did not return in time; the line ended the camera's process."""


class PartialFrameError(FrameError):
    """The frame misses packets or lines, or cannot be decoded."""


class WrongFrameError(FrameError):
    """The frame has another size or pixel format than at `open`."""


class StaleFrameError(FrameError):
    """The frame is older than the configuration allows."""


class MissingFrameError(FrameError):
    """The camera's count of frames skips a number."""


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
"""The classes by name: the camera's process sends names."""


def name_of(error: CameraError) -> str:
    """Returns the key of the error's class in `NAMES`, or of the nearest base class there."""
    return next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in NAMES)
