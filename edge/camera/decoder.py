"""Decodes a video with PyAV (FFmpeg), and refuses each frame of which FFmpeg invents a part.

FFmpeg fills the gaps of a damaged frame, and goes on with the frames that build on it as if they
were whole; a program that scales to the first size gives frames of another size too.
"""

from __future__ import annotations

from typing import Any

from edge.camera.faults import PartialFrameError, WrongFrameError
from edge.camera.kind import load_sdk

_INSTALL = "pip install 'linewarden[pyav]'"


def load_av(kind: str) -> Any:
    """Returns the package av for cameras of `kind`; raises CameraError where it is missing."""
    return load_sdk(kind, "av", _INSTALL)


class StrictDecoder:
    """Decodes one video stream.

    Args:
        av: the package.
        video: the stream.
        name: of camera or recording, for errors.
        hint: what a damaged frame says of the source, for errors.
    """

    def __init__(self, av: Any, video: Any, name: str, hint: str) -> None:
        self._av = av
        self._name = name
        self._hint = hint
        self._size: tuple[int, int] | None = None
        self._has_begun = False  # frames before the first key frame cannot be decoded
        self._is_damaged = False  # until the next key frame
        codec = video.codec_context
        # Several threads delay frames (by frame), or leave gaps in H.264 that FFmpeg does not flag
        # (by slice: libavcodec/h264_slice.c, enable_er).
        codec.thread_count = 1
        codec.options = {"err_detect": "explode"}  # else half a JPEG counts as a good frame

    def decode(self, packet: Any) -> list[Any]:
        """Returns the frames of a packet; none before the first key frame.

        Raises:
            PartialFrameError: the packet is damaged, or builds on a damaged frame.
        """
        if packet.is_keyframe:
            self._has_begun, self._is_damaged = True, False
        is_end = not packet.size
        if not self._has_begun or (is_end and self._is_damaged):
            return []
        if self._is_damaged:
            raise PartialFrameError(
                f"{self._name}: the frame builds on a damaged one, until the next key frame"
            )
        if packet.is_corrupt:
            raise self._damaged("a part of its packets is missing")
        try:
            with self._av.logging.Capture(local=True):  # the error has the reason
                return list(packet.decode())
        except self._av.error.FFmpegError as error:
            raise self._damaged(error.strerror) from error

    def lose(self) -> None:
        """Notes that packets were lost before the next one: FFmpeg does not flag a lost frame."""
        self._is_damaged = True

    def require_whole(self, frame: Any) -> None:
        """Refuses a frame that is not whole, or has another size than the first.

        Raises:
            PartialFrameError: parts of it are missing.
            WrongFrameError: it has another size.
        """
        if frame.is_corrupt:
            self._is_damaged = True
            raise PartialFrameError(f"{self._name}: parts of the frame are missing")
        size = (frame.width, frame.height)
        self._size = self._size or size
        if size != self._size:
            raise WrongFrameError(
                f"{self._name}: a frame of {size[0]}x{size[1]}, and the stream began with "
                f"{self._size[0]}x{self._size[1]}; open the camera again"
            )

    def _damaged(self, why: str) -> PartialFrameError:
        self._is_damaged = True
        return PartialFrameError(f"{self._name}: a damaged frame ({why}); {self._hint}")
