"""H.264 as a network camera sends it: a key frame, then frames that build on each other."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import av
import numpy as np

KEY_EVERY = 8
SIZES = ((160, 128), (192, 128))  # width, height


def write_h264(path: Path, frames: int, *, damaged: Collection[int] = (), resized: int = 0) -> None:
    """Writes a transport stream.

    Args:
        damaged: numbers of the frames with zeros in their middle.
        resized: frames of another size behind the first ones.
    """
    parts = [(SIZES[0], frames), (SIZES[1], resized)]
    encoded = [
        part if number not in damaged else _with_zeros(part)
        for number, part in enumerate(one for size, count in parts for one in _encoded(size, count))
    ]
    with av.open(str(path), "w", format="h264") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width, stream.height = SIZES[0]
        for number, content in enumerate(encoded):
            packet = av.Packet(content)
            packet.stream, packet.pts, packet.dts = stream, number, number
            container.mux(packet)


def _encoded(size: tuple[int, int], frames: int) -> list[bytes]:
    context: Any = av.CodecContext.create("libx264", "w")
    context.width, context.height = size
    context.pix_fmt, context.framerate = "yuv420p", 25
    context.options = {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "x264-params": f"keyint={KEY_EVERY}:scenecut=0",
    }
    packets = []
    for number in range(frames):
        noise = np.random.default_rng(number).integers(0, 60, (size[1], size[0], 3), np.uint8)
        noise[20:60, 5 * number : 5 * number + 40] += 120
        packets += context.encode(av.VideoFrame.from_ndarray(noise, "bgr24"))
    packets += context.encode(None)
    return [bytes(packet) for packet in packets]


def _with_zeros(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(40) + content[middle + 40 :]
