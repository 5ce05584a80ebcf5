"""Access control and encryption of the OPC UA server."""

from __future__ import annotations

import hmac
from typing import Any

from asyncua import ua
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.crypto.truststore import TrustStore
from asyncua.crypto.validator import CertificateValidator, CertificateValidatorOptions
from asyncua.server.internal_server import InternalServer
from asyncua.server.server import Server
from asyncua.server.user_managers import UserManager

from edge.peers.access import OpcUaSecurity

POLICIES = {
    "basic256sha256": ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
    "aes128_sha256_rsaoaep": ua.SecurityPolicyType.Aes128Sha256RsaOaep_SignAndEncrypt,
    "aes256_sha256_rsapss": ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
}


async def protect(server: Server, security: OpcUaSecurity | None) -> None:
    """Restricts a server before its start; None leaves it open to every client.

    Raises:
        LineError: the password cannot be read.
        OSError: a file of the certificate cannot be read.
        ValueError: a file is not a certificate, or not a key.
    """
    if security is None:
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        server.set_identity_tokens([ua.AnonymousIdentityToken])
        return
    server.set_security_policy([POLICIES[security.policy]])
    await server.load_certificate(security.certificate_file)
    await server.load_private_key(security.key_file)
    if security.trusted_folder is not None:
        store = TrustStore([security.trusted_folder], [])
        await store.load()
        options = CertificateValidatorOptions.TRUSTED_VALIDATION
        options |= CertificateValidatorOptions.PEER_CLIENT
        server.set_certificate_validator(CertificateValidator(options, store))
    if security.username is None or security.password is None:
        server.set_identity_tokens([ua.AnonymousIdentityToken])
        return
    server.set_identity_tokens([ua.UserNameIdentityToken])
    server.iserver.user_manager = _OneUser(security.username, security.password.read())


class _OneUser(UserManager):
    """Admits clients with the right name and password."""

    def __init__(self, username: str, password: str) -> None:
        self._expected = (username.encode(), password.encode())

    def get_user(
        self,
        iserver: InternalServer,  # noqa: ARG002 - asyncua passes it
        username: str | None = None,
        password: str | bytes | None = None,
        certificate: Any = None,  # noqa: ARG002 - asyncua passes it
    ) -> User | None:
        """Returns the user; None refuses the client."""
        given = [(username or "").encode()]
        given.append(password if isinstance(password, bytes) else (password or "").encode())
        same = [hmac.compare_digest(*pair) for pair in zip(given, self._expected, strict=True)]
        return User(role=UserRole.User, name=username) if all(same) else None
