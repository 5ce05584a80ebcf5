"""Configures passwords, keys and certificates of the connections."""

from __future__ import annotations

import os
from typing import Any, Literal

from pydantic import ValidationInfo, model_validator

from edge.peers.certificates import CERTIFICATE, KEY, tls_flaws
from inspection.config.flaws import Flaw, refuse
from inspection.config.loading import ConfigPath, StrictModel, reads_files
from inspection.config.secret import hidden_problem
from inspection.errors import LineError


class Secret(StrictModel):
    """Names the place of a password or key; the configuration never holds one. Give either field.

    Attributes:
        file: holds the secret; a newline at the end does not count.
        env: environment variable that holds the secret.
    """

    file: ConfigPath | None = None
    env: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _is_a_place(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise hidden_problem(
                "should name the place of the secret, as {file: PATH} or {env: NAME}; a "
                "configuration holds none"
            )
        return value

    @model_validator(mode="after")
    def _one_of_two(self, info: ValidationInfo) -> Secret:
        if (self.file is None) == (self.env is None):
            raise ValueError("should have either 'file' or 'env'")
        if reads_files(info):
            try:
                self.read()
            except LineError as error:
                raise ValueError(str(error)) from error
        return self

    def read(self) -> str:
        """Returns the secret.

        Raises:
            LineError: the file cannot be read, or the secret is empty.
        """
        if self.file is None:
            secret = os.environ.get(self.env or "", "")
        else:
            try:
                secret = self.file.read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or "it is not text in UTF-8"
                raise LineError(
                    f"{self.file}: the secret cannot be read: {why}; put it there, readable for "
                    "the user of the line"
                ) from error
        if not secret:
            raise LineError(f"{self.file or self.env}: the secret is empty; put it there")
        return secret


class TlsConfig(StrictModel):
    """Configures TLS with a check of the server certificate.

    Attributes:
        ca_file: certificates (PEM) of the accepted authorities; None: those of the system.
        certificate_file: certificate of the station (PEM), where the server asks for one.
        key_file: the key (PEM) of `certificate_file`.
    """

    ca_file: ConfigPath | None = None
    certificate_file: ConfigPath | None = None
    key_file: ConfigPath | None = None

    @model_validator(mode="after")
    def _files_go_together(self, info: ValidationInfo) -> TlsConfig:
        if self.key_file is not None and self.certificate_file is None:
            refuse([Flaw(KEY, "needs {other}", CERTIFICATE)])
        if reads_files(info):
            refuse(tls_flaws(self.ca_file, self.certificate_file, self.key_file))
        return self


class OpcUaSecurity(StrictModel):
    """Restricts OPC UA to signed and encrypted connections.

    Attributes:
        certificate_file: the server's certificate; PEM when the name ends in .pem, else DER.
        key_file: its key, in the same format.
        trusted_folder: certificates of the clients that may connect; None: any client may.
        username: the only user who may connect; None: every client with an accepted certificate.
        password: of that user.
    """

    policy: Literal["basic256sha256", "aes128_sha256_rsaoaep", "aes256_sha256_rsapss"] = (
        "basic256sha256"
    )
    certificate_file: ConfigPath
    key_file: ConfigPath
    trusted_folder: ConfigPath | None = None
    username: str | None = None
    password: Secret | None = None

    @model_validator(mode="after")
    def _both_or_none(self) -> OpcUaSecurity:
        if (self.username is None) != (self.password is None):
            raise ValueError("'username' and 'password' belong together")
        return self
