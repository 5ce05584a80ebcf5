"""Configures a Triton server that runs the model of a line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from edge.peers.access import Secret, TlsConfig
from edge.peers.addresses import Host, Milliseconds, Port
from inspection.config.loading import StrictModel
from inspection.engine import TritonServer
from inspection.engine.triton import onnx_model_name
from inspection.errors import LineError


class TritonServerConfig(StrictModel):
    """The address of a model on a Triton server.

    Attributes:
        port: the one for gRPC, not that for HTTP.
        model: name of the model's folder in the model repository; None for the name that `convert`
            gives to the ONNX file of the bundle.
        version: folder of the version in it.
        tls: None: unencrypted.
        token: bearer token for a proxy in front of the server.
        timeout_ms: limit of each question at opening; a part has what is left of its deadline.
    """

    host: Host
    port: Port = 8001
    model: Annotated[str, Field(min_length=1)] | None = None
    version: Annotated[int, Field(ge=1)] = 1
    tls: TlsConfig | None = None
    token: Secret | None = None
    timeout_ms: Milliseconds = 5000.0

    def resolved(self, bundle: str) -> TritonServer:
        """Returns the address with the contents of its files.

        Args:
            bundle: name of the bundle whose model it is.

        Raises:
            LineError: a certificate, the key or the token cannot be read.
        """
        tls = self.tls or TlsConfig()
        certificate, key = tls.certificate_file, tls.key_file or tls.certificate_file
        host = f"[{self.host}]" if ":" in self.host else self.host  # IPv6
        return TritonServer(
            address=f"{host}:{self.port}",
            model=self.model or onnx_model_name(bundle),
            version=self.version,
            is_encrypted=self.tls is not None,
            authorities=_content(tls.ca_file),
            certificate=_content(certificate),
            key=_content(key),
            token=None if self.token is None else self.token.read(),
            timeout_ms=self.timeout_ms,
        )


def _content(path: Path | None) -> bytes | None:
    try:
        return None if path is None else path.read_bytes()
    except OSError as error:
        raise LineError(f"{path}: cannot be read ({error.strerror})") from error
