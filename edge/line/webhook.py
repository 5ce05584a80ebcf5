"""Verdicts by HTTP POST, as JSON.

Headers:

    Idempotency-Key          the trigger id: the receiver ignores a known one
    Linewarden-Timestamp     seconds since 1970, UTC; only with a signature
    Linewarden-Signature     v1=<hex of HMAC-SHA256 over "<timestamp>.<body>">

The receiver answers 2xx when it has the verdict. Redirections are not followed.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import re
import time
from collections.abc import Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Literal

from pydantic import field_validator

from edge.line.base import StationState
from edge.part.record import InspectionRecord
from edge.peers.access import Secret
from edge.peers.addresses import Milliseconds
from edge.peers.loop_thread import LoopStoppedError, LoopThread
from inspection.config.claims import Claim, Claimant
from inspection.config.plugins import Sdk, require
from inspection.config.resources import Named
from inspection.config.secret import SecretUrl, hidden_problem
from inspection.errors import LineError
from inspection.redaction import redacted

if TYPE_CHECKING:
    import httpx
else:
    httpx = Sdk("httpx")

_CLOSE_S = 1.0
_ANSWER_MAX_BYTES = 1 << 16
_log = logging.getLogger(__name__)


_INSTALL = "pip install 'linewarden[webhook]'"


class WebhookConfig(Claimant):
    """Posts to a web server; see `edge.line.webhook`.

    Attributes:
        url: http or https; with user and password, or a token, where the receiver asks for them.
            Messages, records and status show it without its secrets.
        name: shown in place of the url; needed where only secrets tell two receivers apart.
        secret: key of the HMAC-SHA256 signature; None for none.
        timeout_ms: limit of a request as a whole.
    """

    kind: Literal["webhook"]
    url: SecretUrl
    name: str | None = None
    secret: Secret | None = None
    timeout_ms: Milliseconds = 500.0

    def claims(self) -> Iterable[Claim]:
        """Returns the claim to the outbox of the address, which the message leaves out."""
        what, hint = "the outbox of this address", "remove one, or give each a name"
        yield Claim(("name" if self.name else "url",), Named("webhook", self.outbox, what, hint))

    @property
    def outbox(self) -> str:
        """Name under which the outbox stores verdicts for this output."""
        return f"webhook {self.name or self.url}"

    @field_validator("url")
    @classmethod
    def _is_of_the_web(cls, url: SecretUrl) -> SecretUrl:
        if re.match(r"https?://[^/?#]", url.reveal()) is None:
            raise hidden_problem("should begin with http:// or https:// and a host")
        return url

    def driver(self) -> Webhook:
        """Returns the output, not yet opened; raises LineError without the package."""
        require("output 'webhook'", "httpx", _INSTALL, LineError)
        return Webhook(self)


class Webhook:
    """Posts each verdict and waits for the answer.

    It ends a request without an answer in time, together with its connection. A webhook carries no
    state: a receiver that needs it asks the station's health page.
    """

    def __init__(self, config: WebhookConfig) -> None:
        self._name = config.outbox
        self._config = config
        self._key: bytes | None = None
        self._loop: LoopThread | None = None
        self._client: httpx.AsyncClient | None = None

    def open(self) -> None:
        """Reads the secret; only `send` contacts the receiver."""
        self.close()
        try:
            httpx.URL(self._config.url.reveal())
        except httpx.InvalidURL as error:
            raise LineError(
                f"{self._name}: is not an address: {redacted(str(error))}; correct url"
            ) from error
        self._key = self._config.secret.read().encode() if self._config.secret is not None else None
        # `send` limits a request as a whole; this limit begins anew with each of its steps.
        self._client = httpx.AsyncClient(
            timeout=self._config.timeout_ms / 1e3, follow_redirects=False
        )
        self._loop = LoopThread(self._name)

    def send(self, record: InspectionRecord) -> None:
        """Posts one verdict and waits for the answer."""
        loop, client = self._loop, self._client  # `close` may take them away at a stop
        if loop is None or client is None:
            raise LineError(f"{self._name}: the output is not open")
        what = f"did not take the verdict of {record.trigger_id}"
        try:
            status = loop.run(self._post(client, record), self._config.timeout_ms / 1e3)
        except LoopStoppedError as error:
            raise LineError(f"{self._name}: {error}") from error
        except (TimeoutError, httpx.HTTPError) as error:
            why = (
                str(error) or type(error).__name__
            )  # httpx names no reason for a broken connection
            hint = "check url and that the receiver runs"
            raise LineError(f"{self._name}: {what}: {redacted(why)}; {hint}") from error
        if not 200 <= status < 300:
            raise LineError(f"{self._name}: {what}: it answered with status {status}")

    def show(self, state: StationState) -> None:
        """Does nothing: a webhook carries no state."""

    def close(self) -> None:
        """Disconnects."""
        loop, self._loop = self._loop, None
        client, self._client = self._client, None
        if loop is None:
            return
        if client is not None:
            try:
                loop.run(client.aclose(), _CLOSE_S)
            except (OSError, httpx.HTTPError) as error:
                _log.warning("%s: cannot be closed: %s", self._name, error)
        loop.stop()

    def _post(
        self, client: httpx.AsyncClient, record: InspectionRecord
    ) -> Coroutine[Any, Any, int]:
        body = record.model_dump_json().encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": record.trigger_id}
        if self._key is not None:
            timestamp = str(int(time.time()))
            headers["Linewarden-Timestamp"] = timestamp
            headers["Linewarden-Signature"] = f"v1={signature(self._key, timestamp, body)}"
        return _status(client, self._config.url.reveal(), body, headers)


async def _status(client: httpx.AsyncClient, url: str, body: bytes, headers: dict[str, str]) -> int:
    """Posts; reads the answer to its end, without which the connection cannot be used again."""
    async with client.stream("POST", url, content=body, headers=headers) as response:
        raw = response.aiter_raw()  # as it came: a compressed answer does not grow
        # httpx gives its generator the type of an iterator.
        async with contextlib.aclosing(raw) as chunks:  # type: ignore[type-var]
            left = _ANSWER_MAX_BYTES
            async for chunk in chunks:
                left -= len(chunk)
                if left < 0:
                    break  # the connection ends
        return response.status_code


def signature(key: bytes, timestamp: str, body: bytes) -> str:
    """Returns HMAC-SHA256 (RFC 2104) over "<timestamp>.<body>", as hexadecimal digits."""
    return hmac.new(key, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
