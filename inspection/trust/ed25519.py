"""Ed25519 keys (RFC 8032) in PEM files, as `openssl genpkey -algorithm ed25519` writes them too."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from inspection.errors import ConfigError
from inspection.files import write_bytes


@dataclass(frozen=True)
class PublicKey:
    """A public key with its id: the first 16 digits of the SHA-256 of its 32 bytes."""

    id: str
    key: Ed25519PublicKey

    def verifies(self, signature: bytes, content: bytes) -> bool:
        """Returns whether the owner of the key signed this content."""
        try:
            self.key.verify(signature, content)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class PrivateKey:
    """A key that signs."""

    key: Ed25519PrivateKey

    @property
    def public(self) -> PublicKey:
        """The key that others verify with."""
        return _with_id(self.key.public_key())

    def sign(self, content: bytes) -> bytes:
        """Returns the signature, 64 bytes."""
        return self.key.sign(content)


def public_path(path: Path) -> Path:
    """Returns the file of the public key that belongs to the private key in `path`."""
    return path.with_suffix(".pub")


def new_key_pair(path: Path, passphrase: str | None = None) -> PublicKey:
    """Write a new private key to `path`, for its owner alone, and its public key beside it.

    Raises:
        ConfigError: one of the files exists.
    """
    for file in (path, public_path(path)):
        if file.exists():
            raise ConfigError(f"{file}: exists; a key is not replaced, choose another name")
    key = Ed25519PrivateKey.generate()
    encryption: KeySerializationEncryption = NoEncryption()
    if passphrase:
        encryption = BestAvailableEncryption(passphrase.encode())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    write_bytes(path, private, private=True)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    write_bytes(public_path(path), public)
    return _with_id(key.public_key())


def read_private_key(path: Path, passphrase: str | None = None) -> PrivateKey:
    """Read a private key.

    Raises:
        ConfigError: the file cannot be read, is not such a key, or the passphrase is wrong.
    """
    content = _content(path)
    try:
        key = load_pem_private_key(content, passphrase.encode() if passphrase else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path}: is no private key that can be read ({error})") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path}: is no Ed25519 key: linewarden bundle keygen FILE makes one")
    return PrivateKey(key)


def is_encrypted(path: Path) -> bool:
    """Whether the private key in `path` has a passphrase; ConfigError when it cannot be read."""
    return b"ENCRYPTED" in _content(path)


def read_public_key(path: Path) -> PublicKey:
    """Read a public key; ConfigError when the file cannot be read or is not a key."""
    try:
        key = load_pem_public_key(_content(path))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path}: is no public key in PEM ({error})") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"{path}: is no Ed25519 key: linewarden bundle keygen FILE makes one")
    return _with_id(key)


def _with_id(key: Ed25519PublicKey) -> PublicKey:
    return PublicKey(hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16], key)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
