"""Keys of a machine, in a folder of the test."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from inspection.trust.ed25519 import PrivateKey, new_key_pair, public_path, read_private_key
from inspection.trust.keys import KEYS_VARIABLE, new_device_key


def own_key(patch: pytest.MonkeyPatch, folder: Path) -> Path:
    """Gives this machine a secret key, and returns its file."""
    _use(patch, folder)
    return new_device_key()


def trusted_key(patch: pytest.MonkeyPatch, folder: Path, name: str = "owner") -> PrivateKey:
    """Makes a key pair in a folder beside, which this machine trusts."""
    _use(patch, folder)
    private = folder.with_name("away") / f"{name}.pem"
    private.parent.mkdir(exist_ok=True)
    new_key_pair(private)
    shutil.copy(public_path(private), folder)
    return read_private_key(private)


def give_away(patch: pytest.MonkeyPatch, path: Path) -> None:
    """Gives `path` to a user other than this one and root."""
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:
        another = os.geteuid() + 1
        patch.setattr(os, "geteuid", lambda: another)


def _use(patch: pytest.MonkeyPatch, folder: Path) -> None:
    folder.mkdir(mode=0o755, exist_ok=True)
    patch.setenv(KEYS_VARIABLE, str(folder))
