"""Serves the health of a line over HTTP: `/metrics` for Prometheus, `/healthz` and `/readyz`.

`/healthz` answers 200 while no stage hangs, and `/readyz` while the station takes parts and every
output works; else they answer 503. The body is JSON with the reasons. It also has the recipe, the
active alarms and the state of the records, which change neither answer.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BufferedIOBase
from typing import NamedTuple

from prometheus_client import CONTENT_TYPE_LATEST

from edge.part.record import InspectionRecord
from edge.peers.bounded_threads import BoundedThreads
from edge.peers.connections import ConnectionLimits, Connections
from edge.service.metrics import Metrics
from edge.station.status import StationStatus
from inspection.errors import ConfigError

LIMITS = ConnectionLimits(max=32, idle_s=5.0)

_HEAD_MAX_BYTES = 1 << 14


class Answer(NamedTuple):
    """The answer to a request."""

    is_well: bool
    content_type: str
    body: bytes


class HealthPage:
    """The health page of one line.

    Args:
        host: address to listen on.
        port: TCP port; 0 takes a free one.
        limits: of the connections; a client has `idle_s` for its request and the answer.
    """

    def __init__(self, *, host: str, port: int, limits: ConnectionLimits = LIMITS) -> None:
        self._limits = limits
        self._host = host
        self._port = port
        self._metrics = Metrics()

    def observe(self, record: InspectionRecord) -> None:
        """Counts one part."""
        self._metrics.observe(record)

    @contextlib.contextmanager
    def serving(self, status: Callable[[], StationStatus]) -> Iterator[int]:
        """Serves requests on threads within the block; yields the port.

        Raises:
            ConfigError: the server cannot listen on the address.
        """
        self._metrics.watch(status)
        try:
            server = _Server(
                (self._host, self._port),
                lambda path: self._answer(path, status()),
                Connections(f"health {self._host}:{self._port}", self._limits),
            )
        except OSError as error:
            raise ConfigError(
                f"health: cannot listen on {self._host}:{self._port} ({error.strerror}); each "
                "line on a device needs another port"
            ) from error
        thread = threading.Thread(target=server.serve_forever, name="health", daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def _answer(self, path: str, status: StationStatus) -> Answer | None:
        if path == "/metrics":
            return Answer(True, CONTENT_TYPE_LATEST, self._metrics.exposition())
        pipeline = status.pipeline
        answers = {"/healthz": not pipeline.stalled, "/readyz": pipeline.is_ready}
        if path not in answers:
            return None
        seen = {
            "faults": pipeline.faults,
            "stalled": pipeline.stalled,
            "outputs": {name: asdict(output) for name, output in pipeline.outputs.items()},
            "parts": pipeline.parts,
            "no_verdicts": pipeline.no_verdicts,
            **status.as_json(),
        }
        return Answer(answers[path], "application/json", json.dumps(seen).encode())


class _Server(BoundedThreads, HTTPServer):
    def __init__(
        self,
        address: tuple[str, int],
        answer: Callable[[str], Answer | None],
        connections: Connections,
    ) -> None:
        self.answer = answer
        self.connections = connections
        super().__init__(address, _Handler)


class _Head:
    """Reads the lines of a request; ends after a size in all, where `http.server` takes 6 MB."""

    def __init__(self, stream: BufferedIOBase) -> None:
        self._stream = stream
        self._left = _HEAD_MAX_BYTES
        self.is_whole = True

    def readline(self, limit: int) -> bytes:
        line = self._stream.readline(min(limit, self._left + 1))
        self._left -= len(line)
        if self._left >= 0:
            return line
        self.is_whole = False
        return b""

    def close(self) -> None:
        self._stream.close()


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.head = _Head(self.rfile)
        self.rfile = self.head  # type: ignore[assignment]  # has the used methods

    def do_GET(self) -> None:
        if not self.head.is_whole:
            self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return
        answer = self.server.answer(self.path.partition("?")[0])
        if answer is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        status = HTTPStatus.OK if answer.is_well else HTTPStatus.SERVICE_UNAVAILABLE
        self.send_response(status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, *_args: object) -> None:
        pass  # a scrape every few seconds is not worth a line
