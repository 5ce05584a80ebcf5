"""Signs a bundle for its owner, and verifies the signature.

The file `signature` holds a statement with an Ed25519 signature (RFC 8032) over it. The statement
names the SHA-256 of `manifest.json`, which names the SHA-256 of every exported file, and the
SHA-256 of each calibration that was in the bundle at that time. It never names engines: each device
builds its plans, and its device key authenticates them.

A signature proves the origin of a bundle. Its serial tells an older signature of a bundle from a
newer one; a machine remembers the highest of each bundle, see `inspection.bundle.serials`.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from inspection.errors import BundleError, ConfigError
from inspection.files import sha256_of, write_text
from inspection.trust.keys import Keys, keys_folder
from inspection.trust.sealed import Sha256, Strict, parse_record, read_content

if TYPE_CHECKING:
    from inspection.trust.ed25519 import PrivateKey

SIGNATURE = "signature"
# Separates these signatures from any other use of the same key.
_PURPOSE = b"linewarden bundle 1\n"

_MAX_SERIAL = 10**18
Serial = Annotated[int, Field(ge=1, lt=_MAX_SERIAL)]


class Statement(Strict):
    """The signed content: SHA-256 of the manifest, and of the calibrations by name.

    Attributes:
        signed_utc: time of the signature, ISO 8601 in UTC.
        serial: grows with each signature of a bundle; None in signatures of older releases.
    """

    key_id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    signed_utc: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$")]
    manifest_sha256: Sha256
    calibrations: dict[str, Sha256]
    serial: Serial | None = None

    @property
    def order(self) -> int:
        """Returns the serial; without one, the time of the signature in the form of a serial."""
        return _serial_at(self.signed_utc) if self.serial is None else self.serial

    def content(self) -> bytes:
        """Returns the bytes that the signature covers."""
        signed = self.model_dump(mode="json", exclude={"serial"} if self.serial is None else None)
        return _PURPOSE + json.dumps(signed, sort_keys=True).encode()


class Signature(Strict):
    """The file `signature`."""

    schema_version: Literal[1] = 1
    statement: Statement
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]


def sign(
    bundle: Path,
    manifest: str,
    calibrations: list[str],
    key: PrivateKey,
    *,
    serial: int | None = None,
) -> Signature:
    """Signs a complete bundle and writes the signature into it.

    Args:
        manifest: file name of the manifest in the bundle.
        calibrations: file names of the calibrations in the bundle.
        serial: must be above that of the signature in the bundle; None takes the time, as
            20261121093000, or the next number when the clock is behind that signature.

    Raises:
        ConfigError: `serial` is not above that of the signature in the bundle.
        BundleError: the file `signature` in the bundle is not one.
    """
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    present = read_signature(bundle)
    least = present.statement.order + 1 if present else 1
    chosen = max(_serial_at(now), least) if serial is None else serial
    if not least <= chosen < _MAX_SERIAL:
        raise ConfigError(
            f"{bundle}: the serial must be {least} or more and have at most 18 digits, and is "
            f"{chosen}; devices refuse to go back to an older one"
        )
    statement = Statement(
        key_id=key.public.id,
        signed_utc=now,
        manifest_sha256=sha256_of(bundle / manifest),
        calibrations={name: sha256_of(bundle / name) for name in calibrations},
        serial=chosen,
    )
    signature = Signature(statement=statement, signature=key.sign(statement.content()).hex())
    write_text(bundle / SIGNATURE, signature.model_dump_json(indent=2) + "\n")
    return signature


def read_signature(bundle: Path) -> Signature | None:
    """Reads the signature of a bundle without verifying it; None when there is none.

    Raises:
        BundleError: the file is not a signature.
    """
    path = bundle / SIGNATURE
    if not path.exists():
        return None
    return parse_signature(read_content(path, "copy the bundle again"), path)


def parse_signature(content: bytes, path: Path) -> Signature:
    """Parses the file `signature`; raises BundleError when it is not one."""
    return parse_record(content, path, Signature, "copy the bundle again, or sign it again")


def verified_statement(
    found: Signature | None, bundle: Path, manifest: bytes, keys: Keys
) -> Statement | None:
    """Verifies the signature of a bundle; None on a machine without trusted keys.

    Args:
        found: the signature in the bundle, if there is one.
        bundle: for the messages.
        manifest: content of the manifest.

    Raises:
        BundleError: keys are trusted, and none of them signed this bundle in its present state.
    """
    if not keys.trusted:
        return None
    trusted = f"this machine trusts {', '.join(sorted(keys.trusted))} ({keys_folder()})"
    if found is None:
        raise BundleError(
            f"{bundle}: is not signed, and {trusted}: linewarden bundle sign {bundle} --key FILE, "
            "on the machine with such a key"
        )
    statement = found.statement
    by = f"the key {statement.key_id}"
    key = keys.trusted.get(statement.key_id)
    if key is None:
        raise BundleError(
            f"{bundle}: is signed by {by}, and {trusted}: take a bundle that such a key signed, or "
            "put the public key of the owner into that folder"
        )
    if not key.verifies(bytes.fromhex(found.signature), statement.content()):
        raise BundleError(
            f"{bundle}: its signature does not fit {by} that it names: get the bundle from its "
            "owner again"
        )
    if hashlib.sha256(manifest).hexdigest() != statement.manifest_sha256:
        raise BundleError(
            f"{bundle}: its manifest is not the one that {by} signed: get the bundle from its "
            "owner again, or have it signed again"
        )
    return statement


def _serial_at(utc: str) -> int:
    """Returns an ISO 8601 time as a number that people can read: 20261121093000."""
    return int(re.sub(r"\D", "", utc[:19]))
