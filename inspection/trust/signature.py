"""Signs a bundle for its owner, and verifies the signature.

The file `signature` holds a statement with an Ed25519 signature (RFC 8032) over it. The statement
names the SHA-256 of `manifest.json`, which names the SHA-256 of every exported file, and the
SHA-256 of each calibration that was in the bundle at that time. It never names engines: each device
builds its plans, and its device key authenticates them.

A signature proves the origin of a bundle. It does not prove that there is no newer bundle.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, ValidationError

from inspection.errors import BundleError
from inspection.files import sha256_of, write_text
from inspection.trust.keys import Keys, keys_folder
from inspection.trust.sealed import Sha256, Strict, read_content

if TYPE_CHECKING:
    from inspection.trust.ed25519 import PrivateKey

SIGNATURE = "signature"
# Separates these signatures from any other use of the same key.
_PURPOSE = b"linewarden bundle 1\n"


class Statement(Strict):
    """The signed content: SHA-256 of the manifest, and of the calibrations by name."""

    key_id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    signed_utc: str
    manifest_sha256: Sha256
    calibrations: dict[str, Sha256]

    def content(self) -> bytes:
        """Returns the bytes that the signature covers."""
        return _PURPOSE + json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()


class Signature(Strict):
    """The file `signature`."""

    schema_version: Literal[1] = 1
    statement: Statement
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]


def sign(bundle: Path, manifest: str, calibrations: list[str], key: PrivateKey) -> Signature:
    """Signs a complete bundle and writes the signature into it.

    Args:
        manifest: file name of the manifest in the bundle.
        calibrations: file names of the calibrations in the bundle.
    """
    statement = Statement(
        key_id=key.public.id,
        signed_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        manifest_sha256=sha256_of(bundle / manifest),
        calibrations={name: sha256_of(bundle / name) for name in calibrations},
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
    try:
        return Signature.model_validate_json(read_content(path, "copy the bundle again"))
    except ValidationError as error:
        raise BundleError(
            f"{path}: is not a signature of schema 1: sign the bundle again"
        ) from error


def signed_calibrations(bundle: Path, manifest: bytes, keys: Keys) -> frozenset[str]:
    """Verifies the signature of a bundle and returns the SHA-256 of the signed calibrations.

    Without trusted keys the function reads no signature, and no calibration counts as signed.

    Args:
        manifest: content of the manifest.

    Raises:
        BundleError: keys are trusted, and none of them signed this bundle in its present state.
    """
    if not keys.trusted:
        return frozenset()
    trusted = f"this machine trusts {', '.join(sorted(keys.trusted))} ({keys_folder()})"
    found = read_signature(bundle)
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
    return frozenset(statement.calibrations.values())
