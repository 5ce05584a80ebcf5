"""A web server that takes the verdicts of a webhook, and checks their signature."""

from __future__ import annotations

import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from edge.line.webhook import signature
from edge.sim.base import LOOPBACK, History, Machine, Seen, View, last_verdict
from inspection.verdict import Verdict

_WRONG_SIGNATURE = 401


class Receiver(Machine):
    """Answers each POST with `status`.

    Args:
        secret: key of the signature; None checks none.

    Attributes:
        requests: headers and body of the last requests, repeated ones too.
        status: HTTP status of the answer.
    """

    def __init__(self, port: int, host: str = LOOPBACK, secret: str | None = None) -> None:
        super().__init__()
        self.requests: History[tuple[dict[str, str], bytes]] = History()
        self.status = 204
        self._title = f"web server {host}:{port}"
        self._key = None if secret is None else secret.encode()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.running.wait()
                self.send_response(receiver.take(dict(self.headers), body))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                pass

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_args: None  # type: ignore[method-assign]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def take(self, headers: dict[str, str], body: bytes) -> int:
        """Notes a request, and returns the status of its answer."""
        self.requests.append((headers, body))
        if self._key is not None and not self._is_signed(headers, body):
            return _WRONG_SIGNATURE
        verdict = Verdict(json.loads(body)["verdict"])
        is_reject = verdict in (Verdict.REJECT, Verdict.REVIEW)
        self.take_once(Seen(headers["Idempotency-Key"], verdict is Verdict.PASS, is_reject))
        return self.status

    def view(self) -> View:
        """Implements `Machine.view`."""
        return View(self._title, {}, {"requests": self.requests.total, **last_verdict(self.seen)})

    def close(self) -> None:
        """Implements `Machine.close`."""
        super().close()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _is_signed(self, headers: dict[str, str], body: bytes) -> bool:
        timestamp = headers.get("Linewarden-Timestamp", "")
        expected = f"v1={signature(self._key or b'', timestamp, body)}"
        return hmac.compare_digest(headers.get("Linewarden-Signature", ""), expected)
