"""Reads the keys of this machine: trusted public keys for bundles, and the secret device key.

::

    /etc/linewarden/keys/      or the folder in the variable LINEWARDEN_KEYS
        <owner>.pub            Ed25519 public key; this machine runs bundles of this owner
        device.key             secret of this machine, for calibrations and engines made on it

A service gets `device.key` as a systemd credential instead, and looks there first:
`LoadCredential=device.key:/etc/linewarden/keys/device.key`.

Without keys the machine authenticates nothing: seals only detect damage, and any user who can write
to a bundle decides its verdicts. With any key, calibrations need the signature of a trusted key or
the MAC of the device key, and engines need that MAC. Only a trusted key authenticates the files of
an export.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from inspection.config.plugins import Plugin, load_plugin
from inspection.errors import BundleError, ConfigError
from inspection.files import write_text
from inspection.trust.sealed import Vouched, VouchedModel

if TYPE_CHECKING:
    from inspection.trust.ed25519 import PublicKey

KEYS_FOLDER = Path("/etc/linewarden/keys")
KEYS_VARIABLE = "LINEWARDEN_KEYS"
DEVICE_KEY = "device.key"
_INSTALL = "pip install 'linewarden[signing]'"
_READER = {"ed25519": Plugin("inspection.trust.ed25519", "read_public_key", _INSTALL)}


@dataclass(frozen=True)
class Keys:
    """The keys that this machine trusts, and its device key.

    Attributes:
        trusted: public keys by id; without any, the machine runs every bundle.
        device: secret of this machine, 32 bytes; None when it has none.
    """

    trusted: Mapping[str, PublicKey] = field(default_factory=dict)
    device: bytes | None = field(default=None, repr=False)

    def describe(self) -> str:
        """Describes in one line what this machine authenticates."""
        bundles = "runs any bundle, because it trusts no key"
        own = "accepts calibrations and engines with a seal alone, because it has no device key"
        if self.trusted:
            bundles = f"runs bundles signed by {', '.join(sorted(self.trusted))}"
            own = "accepts signed calibrations and no engine, because it has no device key"
        if self.device:
            own = "authenticates its calibrations and engines with its device key"
        return f"{bundles}; {own}"

    def require_for_records(self) -> None:
        """Raises ConfigError when this machine would refuse the records that it makes."""
        if self.trusted and self.device is None:
            raise ConfigError(
                "this machine trusts only signed bundles and has no device key for its own "
                "calibrations and engines: linewarden bundle device-key"
            )

    def vouched(self, record: VouchedModel) -> VouchedModel:
        """Returns the record with its seal, and with the MAC of this machine when it has a key."""
        self.require_for_records()
        return record.sealed() if self.device is None else record.vouched(self.device)

    def require_vouched(self, record: Vouched, path: Path, mend: str) -> None:
        """Raises BundleError when this machine has keys and its MAC is not on the record."""
        if not self.trusted and self.device is None:
            return
        if self.device is None or not record.is_vouched(self.device):
            name = type(record).__name__.lower()
            raise BundleError(
                f"{path}: neither this machine's key nor a trusted signature covers this {name}: "
                f"{mend}"
            )


def configured_keys(default: Path = KEYS_FOLDER) -> Keys:
    """Reads the keys in `keys_folder(default)`; no keys when that folder does not exist.

    Raises:
        ConfigError: a key cannot be read, a file is not a key, another user could change a key, or
            LINEWARDEN_KEYS names a missing folder.
    """
    folder = keys_folder(default)
    try:
        names = sorted(path.name for path in folder.iterdir())
    except FileNotFoundError as error:
        if KEYS_VARIABLE in os.environ:
            raise ConfigError(f"{KEYS_VARIABLE}={folder}: no such folder") from error
        names = []
    except OSError as error:
        raise ConfigError(f"{folder}: the keys cannot be read ({error.strerror})") from error
    trusted = [_trusted(folder / name) for name in names if name.endswith(".pub")]
    return Keys({key.id: key for key in trusted}, _device_key(folder))


def keys_folder(default: Path = KEYS_FOLDER) -> Path:
    """Returns the folder with the keys of this machine; `default` when LINEWARDEN_KEYS is unset."""
    return Path(os.environ.get(KEYS_VARIABLE, default))


def new_device_key() -> Path:
    """Makes the secret of this machine, readable by its owner only; returns its path.

    Raises:
        ConfigError: the secret exists already, or cannot be written.
    """
    path = keys_folder() / DEVICE_KEY
    if path.exists():
        raise ConfigError(
            f"{path}: exists; under a new key, this machine would refuse its calibrations and "
            "engines"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, secrets.token_hex(32) + "\n", private=True)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror})") from error
    return path


def _trusted(path: Path) -> PublicKey:
    _require_guarded(path.parent)
    _require_guarded(path)
    key: PublicKey = load_plugin("signature", "ed25519", _READER, ConfigError)(path)
    return key


def _device_key(folder: Path) -> bytes | None:
    credentials = Path(os.environ.get("CREDENTIALS_DIRECTORY", folder))
    for path in (credentials / DEVICE_KEY, folder / DEVICE_KEY):
        try:
            text = path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{path}: the key of this machine cannot be read ({error}); run this as its owner, "
                f"or give it to the service: LoadCredential={DEVICE_KEY}:{folder / DEVICE_KEY}"
            ) from error
        _require_guarded(path, is_secret=True)
        if not re.fullmatch(r"[0-9a-f]{64}", text):
            raise ConfigError(
                f"{path}: is not 64 hexadecimal digits: linewarden bundle device-key makes a key"
            )
        return bytes.fromhex(text)
    return None


def _require_guarded(path: Path, *, is_secret: bool = False) -> None:
    """Raises ConfigError when users other than root and this one can change a key or read a secret.

    The group may read: systemd gives the service access to its credentials through the group mode.
    """
    status = path.stat()
    if status.st_uid not in (0, os.geteuid()):
        raise ConfigError(f"{path}: belongs to another user, who could change it: chown root")
    forbidden = stat.S_IWGRP | (stat.S_IRWXO if is_secret else stat.S_IWOTH)
    if status.st_mode & forbidden:
        mode = stat.S_IMODE(status.st_mode)
        raise ConfigError(
            f"{path}: others may {'read' if is_secret else 'change'} it (mode {mode:o}): "
            f"chmod {'600' if is_secret else 'go-w'} {path}"
        )
