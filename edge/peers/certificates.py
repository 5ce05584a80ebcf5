"""Certificates and keys that do not go together, before a connection needs them.

The package `cryptography` reads them. OPC UA brings it along; with TLS alone it may be absent, and
then only the parts that Python's own `ssl` looks at are checked: not the day of expiry.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from inspection.config.flaws import Flaw
from inspection.config.plugins import Sdk

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
else:
    x509 = Sdk("cryptography.x509")
    serialization = Sdk("cryptography.hazmat.primitives.serialization")

CERTIFICATE, KEY, AUTHORITIES = ("certificate_file",), ("key_file",), ("ca_file",)

_STRANGER = "is not the key of {other}; give the two that were made together"


def opcua_flaws(
    certificate_file: Path, key_file: Path, uri: str, now: datetime | None = None
) -> Iterator[Flaw]:
    """Returns the flaws of a certificate and its key, as the OPC UA server reads them.

    Args:
        uri: the application URI of the server; clients compare it with that of the certificate.
        now: None for the clock of this device.
    """
    if find_spec("cryptography") is None:
        return  # asyncua needs it too, and the output says so
    try:
        certificate = _certificate(certificate_file)
    except (OSError, ValueError) as error:
        yield Flaw(CERTIFICATE, _unreadable(certificate_file, error))
        return
    yield from _expired(certificate, now)
    uris = _uris(certificate)
    if uri not in uris:
        yield Flaw(
            CERTIFICATE,
            f"has the application URI {', '.join(uris) or 'of nobody'}, and the server {uri}: make "
            f"one with subjectAltName=URI:{uri}",
        )
    try:
        key = _key(key_file)
    except (OSError, ValueError, TypeError) as error:  # TypeError: it has a passphrase
        yield Flaw(KEY, _unreadable(key_file, error))
        return
    if key.public_key() != certificate.public_key():
        yield Flaw(KEY, _STRANGER, CERTIFICATE)


def tls_flaws(
    ca_file: Path | None,
    certificate_file: Path | None,
    key_file: Path | None,
    now: datetime | None = None,
) -> Iterator[Flaw]:
    """Returns the flaws of the files of a TLS connection, as `ssl` reads them.

    Args:
        key_file: None where the key is in the file of the certificate.
        now: None for the clock of this device.
    """
    if ca_file is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(ca_file)
        except OSError as error:  # ssl.SSLError is one
            yield Flaw(AUTHORITIES, _unreadable(ca_file, error))
    if certificate_file is None:
        return
    try:
        load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), certificate_file, key_file)
    except OSError as error:
        is_stranger = getattr(error, "reason", None) == "KEY_VALUES_MISMATCH"
        if is_stranger and key_file is not None:
            yield Flaw(KEY, _STRANGER, CERTIFICATE)
        elif is_stranger:
            yield Flaw(CERTIFICATE, "holds the key of another certificate; give 'key_file'")
        else:
            yield Flaw(*_unreadable_pair(certificate_file, key_file, error))
        return
    if find_spec("cryptography") is not None:
        yield from _expired(x509.load_pem_x509_certificate(certificate_file.read_bytes()), now)


def load_pair(context: ssl.SSLContext, certificate_file: Path, key_file: Path | None) -> None:
    """Loads a certificate and its key; a key with a passphrase is refused, and asks nobody.

    Raises:
        OSError: a file cannot be read, or the two do not go together.
    """
    context.load_cert_chain(certificate_file, key_file, password=lambda: "")


def below(key: str, flaws: Iterable[Flaw]) -> Iterator[Flaw]:
    """Returns the flaws of the model in `key`, for the model above it."""
    for flaw in flaws:
        other = None if flaw.other is None else (key, *flaw.other)
        yield flaw._replace(keys=(key, *flaw.keys), other=other)


def _certificate(path: Path) -> x509.Certificate:
    content = path.read_bytes()
    if _is_pem(path):
        return x509.load_pem_x509_certificate(content)
    return x509.load_der_x509_certificate(content)


def _key(path: Path) -> PrivateKeyTypes:
    content = path.read_bytes()
    if _is_pem(path):
        return serialization.load_pem_private_key(content, password=None)
    return serialization.load_der_private_key(content, password=None)


def _is_pem(path: Path) -> bool:
    return path.suffix.lower() == ".pem"  # asyncua goes by the name


def _uris(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def _expired(certificate: x509.Certificate, now: datetime | None) -> Iterator[Flaw]:
    """A certificate of the future is none: a device without a battery starts with an old clock."""
    end = certificate.not_valid_after_utc
    clock = now or datetime.now(timezone.utc)
    if clock > end:
        yield Flaw(
            CERTIFICATE,
            f"has expired on {end:%Y-%m-%d}, and the clock of this device says {clock:%Y-%m-%d}: "
            "renew the certificate, or set the clock",
        )


def _unreadable(path: Path, error: Exception) -> str:
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
        return f"{path}: cannot be read: {error.strerror}"
    if isinstance(error, TypeError):
        return f"{path}: has a passphrase; write it without one (openssl pkey), for its owner alone"
    form = "PEM" if isinstance(error, ssl.SSLError) or _is_pem(path) else "DER; PEM ends in .pem"
    return f"{path}: is not what it should be, in {form}"


def _unreadable_pair(
    certificate_file: Path, key_file: Path | None, error: OSError
) -> tuple[tuple[str], str]:
    """`ssl` does not name the file of an error, and reads the certificate first."""
    try:
        has_certificate = b"-----BEGIN CERTIFICATE-----" in certificate_file.read_bytes()
    except OSError as unread:
        return CERTIFICATE, _unreadable(certificate_file, unread)
    if not has_certificate or key_file is None:
        return CERTIFICATE, _unreadable(certificate_file, error)
    try:
        is_locked = b"ENCRYPTED" in key_file.read_bytes()
    except OSError as unread:
        return KEY, _unreadable(key_file, unread)
    return KEY, _unreadable(key_file, TypeError() if is_locked else error)
