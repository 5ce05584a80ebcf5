"""Reads and writes Ed25519 keys (RFC 8032) in PEM files, like `openssl genpkey`."""

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
        """Returns True when the owner of the key signed this content."""
        try:
            self.key.verify(signature, content)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class PrivateKey:
    """A private key, for signing."""

    key: Ed25519PrivateKey

    @property
    def public(self) -> PublicKey:
        """Returns the public key, for verification by others."""
        return _with_id(self.key.public_key())

    def sign(self, content: bytes) -> bytes:
        """Returns the signature of the content, 64 bytes."""
        return self.key.sign(content)


def public_path(path: Path) -> Path:
    """Returns the path of the public key for the private key in `path`."""
    return path.with_suffix(".pub")


def new_key_pair(path: Path, passphrase: str | None = None) -> PublicKey:
    """Writes a new private key to `path`, readable by its owner only, and the public key beside it.

    Raises:
        ConfigError: one of the files exists, or their folder does not.
    """
    for file in (path, public_path(path)):
        if file.exists():
            raise ConfigError(f"{file}: exists and will not be replaced; choose another name")
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: the folder {path.parent} does not exist: make it")
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
    """Reads a private key.

    Raises:
        ConfigError: the file cannot be read, is not an Ed25519 key, or the passphrase is wrong.
    """
    content = _content(path)
    try:
        key = load_pem_private_key(content, passphrase.encode() if passphrase else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path}: is not a readable private key ({error})") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path}: is not an Ed25519 key: linewarden bundle keygen FILE makes one")
    return PrivateKey(key)


def is_encrypted(path: Path) -> bool:
    """Returns True when the private key in `path` has a passphrase; ConfigError when unreadable."""
    return b"ENCRYPTED" in _content(path)


def read_public_key(path: Path) -> PublicKey:
    """Reads a public key; raises ConfigError when the file is unreadable or not a public key."""
    try:
        key = load_pem_public_key(_content(path))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path}: is not a public key in PEM ({error})") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"{path}: is not an Ed25519 key: linewarden bundle keygen FILE makes one")
    return _with_id(key)


def _with_id(key: Ed25519PublicKey) -> PublicKey:
    return PublicKey(hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16], key)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
