"""Network cameras through PyAV (FFmpeg): RTSP, and MJPEG over HTTP."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field

from edge.camera.decoder import StrictDecoder, load_av
from edge.camera.faults import (
    CameraLostError,
    CameraNotFoundError,
    StaleFrameError,
)
from edge.camera.kind import LiveConfig, Seconds, only_camera
from edge.camera.newest import NewestFrame, StreamClock
from edge.part.frame import Frame
from inspection.config.claims import Claim
from inspection.config.secret import SecretText, SecretUrl
from inspection.errors import CameraError
from inspection.redaction import redacted

# Not nobuffer: it drops the key frame that the search for streams has read.
_LOW_LATENCY = {"flags": "low_delay", "max_delay": "100000", "fpsprobesize": "0"}
_LOST = "RTP: missed"  # the only sign of a frame that the network lost; libavformat/rtpdec.c
_FORMATS = {"bgr": "bgr24", "grey": "gray"}


class PyAvConfig(LiveConfig):
    """The settings of a network camera: RTSP, or MJPEG over HTTP.

    Attributes:
        url: rtsp:// or http://; user and password as in rtsp://user:password@host, with %2F for a
            / in them. Messages and records show it without user, password and other secrets.
        transport: of RTSP; on a busy network udp loses frames and tcp delays them.
        colour: bgr; or grey, the luma plane.
        silent_limit_s: the stream is lost after this time without data.
        options: further FFmpeg options of the protocol; never shown.
    """

    takes_window = False
    kind: Literal["pyav"]
    url: SecretUrl
    transport: Literal["tcp", "udp"] = "tcp"
    colour: Literal["bgr", "grey"] = "bgr"
    silent_limit_s: Seconds = 3.0
    options: dict[str, SecretText] = Field(default_factory=dict)

    def claims(self) -> Iterable[Claim]:
        """Returns the claim to the stream."""
        yield Claim(("url",), only_camera("pyav", self.url.reveal()))

    def driver(self) -> PyAvCamera:
        """Implements `KindConfig.driver`."""
        return PyAvCamera(self)


class PyAvCamera:
    """A stream. A thread decodes it without pause and keeps the newest frame.

    The end of the stream is a fault: a live camera does not end.
    """

    waits = False
    runs_free = True

    def __init__(self, config: PyAvConfig) -> None:
        self._av = load_av("pyav")
        self._url = config.url.reveal()
        self._name = str(config.url)
        self._format = _FORMATS[config.colour]
        self._limits_s = (config.open_limit_s, config.silent_limit_s)
        self._stale_ms = config.stale_ms
        # MJPEG has no time stamps; FFmpeg invents some.
        self._is_timed = not self._url.startswith("http")
        self._options = dict(_LOW_LATENCY)
        if self._url.startswith("rtsp"):
            self._options["rtsp_transport"] = config.transport
        self._options |= {name: value.reveal() for name, value in config.options.items()}
        self._container: Any = None
        self._packets: Iterator[Any] = iter(())
        self._decoded: deque[Any] = deque()
        self._newest: NewestFrame | None = None
        self._clock = StreamClock()

    def open(self) -> None:
        """Connects and starts to decode."""
        self.close()
        self._av.logging.set_level(self._av.logging.WARNING)  # else nothing is captured
        try:
            self._container = self._av.open(
                self._url, options=self._options, timeout=self._limits_s
            )
        except (self._av.error.FFmpegError, OSError) as error:
            raise CameraNotFoundError(f"{self._name}: {self._why_not(error)}") from error
        videos = self._container.streams.video
        if not videos:
            self.close()
            raise CameraNotFoundError(f"{self._name}: the stream has no video; check its path")
        decoder = StrictDecoder(self._av, videos[0], self._name, "the network loses data")
        self._clock = StreamClock()
        self._packets, self._decoded = self._container.demux(videos[0]), deque()
        self._newest = NewestFrame(lambda: self._next(decoder), self._name)

    def read(self, timeout_s: float) -> Frame | None:
        """Returns the newest frame."""
        if self._newest is None:
            raise CameraError(f"{self._name}: the camera is not open")
        return self._newest.take(timeout_s)

    def close(self) -> None:
        """Stops the thread and disconnects, within `silent_limit_s` and a second."""
        newest, self._newest = self._newest, None
        container, self._container = self._container, None
        # Closing a container that another thread reads crashes the process.
        if (newest is None or newest.stop(self._limits_s[1] + 1.0)) and container is not None:
            container.close()

    def describe(self) -> Mapping[str, object]:
        """Returns codec, size and rate as the stream reports them."""
        if self._container is None:
            raise CameraError(f"{self._name}: the camera is not open")
        stream = self._container.streams.video[0]
        return {
            "url": self._name,
            "codec": stream.codec_context.name,
            "pixel format": stream.codec_context.pix_fmt,
            "width": stream.codec_context.width,
            "height": stream.codec_context.height,
            "frame_rate_hz": float(stream.average_rate or 0),
        }

    def _next(self, decoder: StrictDecoder) -> Frame:
        while not self._decoded:
            self._decoded.extend(decoder.decode(self._next_packet(decoder)))
        return self._checked(decoder, self._decoded.popleft())

    def _next_packet(self, decoder: StrictDecoder) -> Any:
        try:
            with self._av.logging.Capture(local=True) as logged:
                packet = next(self._packets, None)
        except self._av.error.ExitError as error:
            raise CameraLostError(
                f"{self._name}: hangs: no data for {self._limits_s[1]:g} s; open the camera again"
            ) from error
        except (self._av.error.FFmpegError, OSError) as error:
            raise CameraLostError(
                f"{self._name}: the connection broke ({error.strerror}); open the camera again"
            ) from error
        if packet is None:
            raise CameraLostError(
                f"{self._name}: the sender ended the stream; open the camera again"
            )
        if any(_LOST in message for _, _, message in logged):
            decoder.lose()
        return packet

    def _checked(self, decoder: StrictDecoder, decoded: Any) -> Frame:
        is_timed = self._is_timed and decoded.time is not None
        lag_ns = self._clock.lag_ns(round(decoded.time * 1e9)) if is_timed else 0
        captured_ns = time.monotonic_ns() - lag_ns
        decoder.require_whole(decoded)
        if self._stale_ms is not None and lag_ns > self._stale_ms * 1e6:
            raise StaleFrameError(
                f"{self._name}: the frame is {lag_ns / 1e6:.0f} ms late; the network or this "
                "computer is too slow for the stream"
            )
        image = np.array(decoded.to_ndarray(format=self._format), np.uint8, order="C")
        return Frame(image, captured_ns, 0, self._name)

    def _why_not(self, error: Exception) -> str:
        if isinstance(error, self._av.error.ExitError):
            return f"no answer within {self._limits_s[0]:g} s; check address and network"
        what = getattr(error, "strerror", None) or redacted(str(error))
        return f"cannot be opened ({what}); check address, path, user and password"
