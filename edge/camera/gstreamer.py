"""Any GStreamer pipeline as a camera: `nvarguscamerasrc` on a Jetson, `v4l2src`, `aravissrc`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np

from edge.camera.faults import (
    CameraLostError,
    CameraNotFoundError,
    CameraSettingError,
    PartialFrameError,
    StaleFrameError,
    WrongFrameError,
)
from edge.camera.kind import Found, LiveConfig, load_gi, only_camera
from edge.camera.pixels import PixelConverter
from edge.part.frame import Frame
from inspection.config.claims import Claim
from inspection.config.secret import SecretPipeline
from inspection.errors import CameraError
from inspection.redaction import redacted_value

_PACKAGES = "gir1.2-gst-plugins-base-1.0 gstreamer1.0-plugins-good"
# The sink holds one frame; a newer frame replaces it.
_SINK = (
    " ! appsink name=linewarden max-buffers=1 drop=true sync=false async=false"
    " caps=video/x-raw,format=(string){BGR,GRAY8}"
)
_FIRST_FRAME_S = 2.0
_ENDED = "the stream ended"
# Elements that fill the gaps of a damaged frame and flag nothing, with the way to go instead.
_CONCEALING = {
    "jpegdec": "take kind: opencv with fourcc: MJPG for a USB camera, or kind: pyav for the network"
}
_PIXEL_FORMATS = {"BGR": "BGR8", "GRAY8": "Mono8"}


class GstreamerConfig(LiveConfig):
    """The settings of a GStreamer pipeline, such as nvarguscamerasrc on a Jetson.

    Attributes:
        pipeline: text for gst-launch; its last element must offer video/x-raw in BGR or GRAY8, as
            `videoconvert` does. Messages show it without its passwords.
        silent_limit_s: None for a triggered camera, which a pipeline does not report.
    """

    takes_window = False
    kind: Literal["gstreamer"]
    pipeline: SecretPipeline

    def claims(self) -> Iterable[Claim]:
        """Returns the claim to the source of the pipeline."""
        yield Claim(
            ("pipeline",), only_camera("gstreamer", " ".join(self.pipeline.reveal().split()))
        )

    @classmethod
    def discover(cls) -> list[Found]:
        """Returns the video sources that GStreamer's device monitor sees."""
        (gst,) = load_gi("gstreamer", _PACKAGES, Gst="1.0")
        gst.init(None)
        monitor = gst.DeviceMonitor()
        monitor.add_filter("Video/Source", None)
        monitor.start()
        found = []
        for device in monitor.get_devices() or ():
            element = device.create_element(None).get_factory().get_name()
            name = device.get_display_name()
            setting = f"pipeline: {element} ! videoconvert"
            found.append(Found("gstreamer", name, (), element, setting))
        monitor.stop()
        return found

    def driver(self) -> GstreamerCamera:
        """Implements `KindConfig.driver`."""
        return GstreamerCamera(self)


class GstreamerCamera:
    """A pipeline.

    The open limit ends when the pipeline plays; `open` then waits up to 2 s for a frame. The clock
    of the pipeline gives the age of a frame.
    """

    waits = False
    runs_free = True

    def __init__(self, config: GstreamerConfig) -> None:
        self._gst, self._video, glib, _ = load_gi(
            "gstreamer", _PACKAGES, Gst="1.0", GstVideo="1.0", GLib="2.0", GstApp="1.0"
        )
        self._gi_error = glib.Error
        self._gst.init(None)
        self._launch = config.pipeline.reveal() + _SINK
        self._text = str(config.pipeline)
        self._open_limit_s = config.open_limit_s
        self._stale_ms = config.stale_ms
        self._pipeline: Any = None
        self._sink: Any = None
        self._caps = ""
        self._scaled: tuple[str, ...] = ()
        self._sequence = 0

    def open(self) -> None:
        """Builds the pipeline and starts it."""
        self.close()
        try:
            self._pipeline = self._gst.parse_launch(self._launch)
        except self._gi_error as error:
            raise CameraNotFoundError(
                f"{self._text}: GStreamer cannot build it: {redacted_value(error.message)}; "
                "'gst-inspect-1.0 NAME' shows an installed element"
            ) from error
        self._sink = self._pipeline.get_by_name("linewarden")
        self._caps, self._scaled, self._sequence = "", (), 0
        self._refuse_concealing()
        if reason := self._why_not_playing():
            self.close()
            raise CameraNotFoundError(f"{self._text}: cannot be started: {reason}")

    def read(self, timeout_s: float) -> Frame | None:
        """Returns the newest frame."""
        if self._pipeline is None:
            raise CameraError(f"{self._text}: the camera is not open")
        sample = self._sink.try_pull_sample(round(timeout_s * 1e9))
        if sample is None:
            if reason := self._complaint() or self._end_of_stream():
                raise CameraLostError(f"{self._text}: {reason}; open the camera again")
            return None
        sequence, self._sequence = self._sequence, self._sequence + 1
        return self._frame(sample, sequence)

    def close(self) -> None:
        """Stops the pipeline, without a time limit."""
        pipeline, self._pipeline, self._sink = self._pipeline, None, None
        if pipeline is not None:
            pipeline.set_state(self._gst.State.NULL)

    def describe(self) -> Mapping[str, object]:
        """Returns the pipeline and the caps of its frames."""
        if self._pipeline is None:
            raise CameraError(f"{self._text}: the camera is not open")
        caps = self._sink.get_static_pad("sink").get_current_caps()
        return {"pipeline": self._text, "caps": caps.to_string() if caps else "none yet"}

    def _why_not_playing(self) -> str:
        """Starts the pipeline; returns "" when it plays, else the reason."""
        self._pipeline.set_state(self._gst.State.PLAYING)
        changed, state, _ = self._pipeline.get_state(round(self._open_limit_s * 1e9))
        failed = changed == self._gst.StateChangeReturn.FAILURE
        if failed or state != self._gst.State.PLAYING:
            return self._complaint() or f"it does not play within {self._open_limit_s:g} s"
        # Some faults show only with the first frame; a triggered camera gives none.
        self._sink.try_pull_sample(round(_FIRST_FRAME_S * 1e9))
        return self._complaint()

    def _frame(self, sample: Any, sequence: int) -> Frame:
        buffer, caps = sample.get_buffer(), sample.get_caps()
        if not self._caps:  # decodebin adds its elements late
            self._refuse_concealing()
        age_ns = self._age_ns(buffer)
        captured_ns = time.monotonic_ns() - age_ns
        self._refuse(buffer, caps.to_string(), age_ns)
        info = self._video.VideoInfo.new_from_caps(caps)
        row_bytes, offset = _layout(info, self._video.buffer_get_video_meta(buffer))
        mapped, memory = buffer.map(self._gst.MapFlags.READ)
        if not mapped:
            raise PartialFrameError(f"{self._text}: the frame's memory cannot be read")
        try:
            raw = np.frombuffer(memory.data, np.uint8)[offset:]
            pixel_format = _PIXEL_FORMATS[caps.get_structure(0).get_string("format")]
            converter = PixelConverter(pixel_format, info.width, info.height)
            image = converter.image(raw, row_bytes)
        finally:
            buffer.unmap(memory)
        return Frame(image, captured_ns, sequence, self._text.partition(" ")[0])

    def _refuse(self, buffer: Any, caps: str, age_ns: int) -> None:
        self._caps = self._caps or caps
        if caps != self._caps:
            raise WrongFrameError(
                f"{self._text}: gives {caps} now, and it began with {self._caps}; open the camera "
                "again"
            )
        scaled = self._before_scaling()
        self._scaled = self._scaled or scaled
        if scaled != self._scaled:
            raise WrongFrameError(
                f"{self._text}: scales {', '.join(scaled)} now, and it began with "
                f"{', '.join(self._scaled)}; open the camera again"
            )
        if buffer.has_flags(self._gst.BufferFlags.GAP):
            raise StaleFrameError(
                f"{self._text}: an element repeats the frame before; take videorate out"
            )
        if buffer.has_flags(self._gst.BufferFlags.CORRUPTED):
            raise PartialFrameError(f"{self._text}: the frame is marked as damaged")
        if self._stale_ms is not None and age_ns > self._stale_ms * 1e6:
            raise StaleFrameError(
                f"{self._text}: the frame is {age_ns / 1e6:.0f} ms old; this computer is too slow "
                "for the pipeline"
            )

    def _before_scaling(self) -> tuple[str, ...]:
        """Returns the elements that can scale, with the size of the frames before each.

        Behind them a stream that changes its size looks as before.
        """
        scalers = [one for one in self._elements() if "Scaler" in _class_of(one)]
        return tuple(f"{one.get_name()} {_size_at(one)}" for one in scalers)

    def _refuse_concealing(self) -> None:
        for element in self._elements():
            kind = element.get_factory().get_name()
            if kind in _CONCEALING:
                self.close()
                raise CameraSettingError(
                    f"{self._text}: {kind} gives half a frame as a whole one; {_CONCEALING[kind]}"
                )

    def _elements(self) -> list[Any]:
        """Returns the elements that a factory made, without bins and the pipeline itself."""
        found = self._pipeline.iterate_recurse()
        elements: list[Any] = []
        while True:
            result, element = found.next()
            if result == self._gst.IteratorResult.RESYNC:  # an element came or went meanwhile
                found.resync()
                elements = []
            elif result != self._gst.IteratorResult.OK:
                return elements
            elif element.get_factory() is not None:
                elements.append(element)

    def _age_ns(self, buffer: Any) -> int:
        """Returns the time since the capture that a live source stamped; 0 without a stamp."""
        clock = self._pipeline.get_clock()
        if clock is None or buffer.pts == self._gst.CLOCK_TIME_NONE:
            return 0
        return max(0, int(clock.get_time() - self._pipeline.get_base_time() - buffer.pts))

    def _end_of_stream(self) -> str:
        """Returns a reason when the sink, which knows before the bus, is at its end; else ""."""
        return _ENDED if self._sink.get_property("eos") else ""

    def _complaint(self) -> str:
        """Returns the first error or end of stream on the bus; "" without one."""
        kinds = self._gst.MessageType.ERROR | self._gst.MessageType.EOS
        message = self._pipeline.get_bus().pop_filtered(kinds)
        if message is None:
            return ""
        if message.type == self._gst.MessageType.EOS:
            return _ENDED
        error, debug = message.parse_error()
        return redacted_value(f"{message.src.get_name()}: {error.message} ({debug})")


def _class_of(element: Any) -> str:
    return str(element.get_factory().get_metadata("klass"))


def _size_at(element: Any) -> str:
    pad = element.get_static_pad("sink")
    caps = pad.get_current_caps() if pad is not None else None
    if caps is None:
        return "of no size"
    structure = caps.get_structure(0)
    return f"{structure.get_value('width')}x{structure.get_value('height')}"


def _layout(info: Any, meta: Any) -> tuple[int, int]:
    """Returns the bytes per row and before the first row: of the buffer, else of its caps."""
    if meta is not None:
        return int(meta.stride[0]), int(meta.offset[0])
    return int(info.stride[0]), int(info.offset[0])
