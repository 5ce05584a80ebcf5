"""A network camera on loopback: MJPEG over HTTP, as the camera kind `pyav` reads it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import numpy.typing as npt

from edge.sim.base import LOOPBACK, Machine, View
from inspection.errors import CameraError
from inspection.images import encode_jpeg

PATH = "/video"


class MjpegCamera(Machine):
    """Sends a JPEG at a fixed rate to each client; hung, it keeps the connections and sends none.

    Args:
        jpeg: returns the JPEG of a frame by its number, which counts from 0 for each client.

    Attributes:
        url: the address for the configuration of a line.
        ending: set, it closes every connection.

    Raises:
        CameraError: the port cannot be opened.
    """

    def __init__(
        self, jpeg: Callable[[int], bytes], *, rate_hz: float, port: int = 0, host: str = LOOPBACK
    ) -> None:
        super().__init__()
        self.ending = threading.Event()
        self._jpeg, self._period_s = jpeg, 1 / rate_hz
        self._sent = 0
        handler = type("Handler", (_Handler,), {"camera": self})
        try:
            self._server = ThreadingHTTPServer((host, port), handler)
        except OSError as error:
            raise CameraError(
                f"the simulated camera cannot listen on {host}:{port}: {error.strerror}; give "
                "another port"
            ) from error
        self._server.daemon_threads = True
        self.url = f"http://{host}:{self._server.server_address[1]}{PATH}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()

    def send_to(self, handler: BaseHTTPRequestHandler) -> None:
        """Sends frames until the client goes, or `ending` is set."""
        number, due_s = 0, time.monotonic()
        while not self.ending.is_set():
            if self.running.is_set():
                content = self._jpeg(number)
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(content)}"
                handler.wfile.write(head.encode() + b"\r\n\r\n" + content + b"\r\n")
                number += 1
                self._sent += 1
            now_s = time.monotonic()
            due_s = max(due_s + self._period_s, now_s)  # a schedule, which a late frame moves
            time.sleep(due_s - now_s)

    def view(self) -> View:
        """Implements `Machine.view`."""
        return View(f"camera {self.url}", {}, {"frames": self._sent})

    def close(self) -> None:
        """Implements `Machine.close`."""
        super().close()
        self.ending.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    camera: MjpegCamera

    def do_GET(self) -> None:
        if self.path != PATH:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        try:
            self.camera.send_to(self)
        except (BrokenPipeError, ConnectionResetError):
            return

    def log_message(self, *_: object) -> None:
        return


def jpegs(frames: Sequence[npt.NDArray[np.uint8]]) -> Callable[[int], bytes]:
    """Returns a source of JPEGs that repeats these frames."""
    encoded = [encode_jpeg(frame) for frame in frames]
    return lambda number: encoded[number % len(encoded)]
