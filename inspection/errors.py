"""The error tree of Linewarden and the exit codes of its commands.

::

    LinewardenError                 1
    |-- ConfigError                 3   a configuration file or a command-line value
    |-- BundleError                 4   a model bundle, a checkpoint, a calibration
    |-- CameraError                 5   a camera, a recording, an image file, a data set
    |   |-- CameraNotFoundError ... 5   kinds of lost cameras, in edge/camera/faults.py
    |   `-- FrameError              5   one frame that does not fit the model
    |       |-- PartialFrameError . 5   kinds of bad frames, in the same file
    |       `-- PartNotFoundError . 5   a frame without the part that the recipe expects in it
    |-- EngineError                 6   an inference engine
    |   `-- CudaError               6   a CUDA call that failed; the device can still be used
    |-- LineError                   7   an output to the line
    |-- DeviceLostError             8   the GPU is lost to this process: start a new one
    `-- RecordsError                9   the records of a line cannot be opened or read

`linewarden.exit_codes` has all exit codes of the command. A message says what is wrong, where, and
what to do about it.
"""

from __future__ import annotations

from collections.abc import Sequence

from inspection.names import encodable

_SHOWN = 5


class LinewardenError(Exception):
    """Base of every error Linewarden raises on purpose."""

    exit_code = 1

    def __str__(self) -> str:
        """Returns the message; a record, a log or a page takes it, whatever file it names."""
        return encodable(super().__str__())


class ConfigError(LinewardenError):
    """A configuration file or value is wrong."""

    exit_code = 3


class BundleError(LinewardenError):
    """A bundle, checkpoint or calibration does not verify, or does not fit the request."""

    exit_code = 4


class CameraError(LinewardenError):
    """A camera, recording or data set gives no usable frame."""

    exit_code = 5


class FrameError(CameraError):
    """One frame does not fit the model: it has another size, depth or number of channels."""


class PartNotFoundError(FrameError):
    """The part is not in the frame, or some of its zones lie outside the frame."""


class EngineError(LinewardenError):
    """An inference engine cannot be opened or failed to run."""

    exit_code = 6


class CudaError(EngineError):
    """A CUDA call failed and the context is still usable.

    Attributes:
        code: number in CUDA's `cudaError_t`; 0 when the binding does not report it.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class LineError(LinewardenError):
    """A verdict could not be delivered to the line."""

    exit_code = 7


class DeviceLostError(LinewardenError):
    """A sticky CUDA error: every later call in this process fails, so the process must end.

    It does not derive from EngineError on purpose: after an EngineError one part has no verdict and
    the line goes on.
    """

    exit_code = 8


class RecordsError(LinewardenError):
    """The records of a line cannot be opened, read or exported."""

    exit_code = 9


def named(names: Sequence[str]) -> str:
    """Joins the first names for a message, and says how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


def listed(title: str, lines: Sequence[str]) -> str:
    """Puts the first lines below a title for a message, and says how many more there are."""
    more = [f"... and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return "\n  ".join([title, *lines[:_SHOWN], *more])
