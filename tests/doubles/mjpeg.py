"""A network camera that fails on request: MJPEG over HTTP on loopback."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np

RATE_HZ = 25.0
SIZE = (96, 64)  # width, height


class MjpegCamera:
    """Sends grey frames whose mean rises with each frame."""

    def __init__(self) -> None:
        self.size = SIZE
        self.half_every = 0  # every n-th JPEG is cut in half
        self.hanging = threading.Event()  # keeps the connection and sends nothing
        self.ending = threading.Event()  # closes the connection
        self.url = ""

    def jpeg(self, number: int) -> bytes:
        width, height = self.size
        image = np.full((height, width, 3), 30 + 2 * (number % 100), np.uint8)
        noise = np.random.default_rng(number).integers(0, 20, image.shape, dtype=np.uint8)
        content = cv2.imencode(".jpg", image + noise)[1].tobytes()
        is_half = self.half_every and number % self.half_every == self.half_every - 1
        return content[: len(content) // 2] if is_half else content


class _Handler(BaseHTTPRequestHandler):
    camera: MjpegCamera

    def do_GET(self) -> None:
        if self.path != "/video":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        number = 0
        try:
            while not self.camera.ending.is_set():
                if not self.camera.hanging.is_set():
                    content = self.camera.jpeg(number)
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(content)}"
                    self.wfile.write(head.encode() + b"\r\n\r\n" + content + b"\r\n")
                    number += 1
                time.sleep(1 / RATE_HZ)
        except (BrokenPipeError, ConnectionResetError):
            return

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def mjpeg_camera() -> Iterator[MjpegCamera]:
    """Serves a camera at `url` until the end of the block."""
    camera = MjpegCamera()
    handler = type("Handler", (_Handler,), {"camera": camera})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    camera.url = f"http://127.0.0.1:{server.server_address[1]}/video"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield camera
    finally:
        camera.ending.set()
        server.shutdown()
        server.server_close()
