"""Defines records on disk that detect changes: strict JSON with a hash over its content.

A record made on a device may also carry a MAC with the key of that device.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inspection.errors import BundleError

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
SealedModel = TypeVar("SealedModel", bound="Sealed")
VouchedModel = TypeVar("VouchedModel", bound="Vouched")


class Strict(BaseModel):
    """A frozen record that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Sealed(Strict):
    """A record that carries the SHA-256 over its other fields.

    The seal detects damage and hasty edits. Only a key protects against intent: see `Vouched`, and
    `inspection.trust.signature` for the files of an export.
    """

    seal: str = ""

    def sealed(self: SealedModel) -> SealedModel:
        """Returns a copy with a valid seal."""
        return self.model_copy(update={"seal": self._digest()})

    def is_intact(self) -> bool:
        """Returns True when the seal fits the content."""
        return self.seal == self._digest()

    def _digest(self) -> str:
        return hashlib.sha256(self._content()).hexdigest()

    def _content(self) -> bytes:
        content = self.model_dump(mode="json", exclude={"seal", "mac"})
        return json.dumps(content, sort_keys=True).encode()


class Vouched(Sealed):
    """A record that a device makes and authenticates with its key.

    Attributes:
        mac: HMAC-SHA256 (RFC 2104) over the content under the device key; empty without a key.
    """

    mac: str = ""

    def vouched(self: VouchedModel, key: bytes) -> VouchedModel:
        """Returns a copy with a valid seal and MAC."""
        return self.sealed().model_copy(update={"mac": self._mac(key)})

    def is_vouched(self, key: bytes) -> bool:
        """Returns True when the holder of `key` wrote exactly this content."""
        return hmac.compare_digest(self.mac.encode(), self._mac(key).encode())

    def _mac(self, key: bytes) -> str:
        # The kind comes first, so that a record of one kind never passes as another kind.
        kind = type(self).__name__.lower().encode()
        return hmac.new(key, kind + b"\n" + self._content(), hashlib.sha256).hexdigest()


def read_sealed(path: Path, model: type[SealedModel], schema: int, mend: str) -> SealedModel:
    """Reads a sealed record.

    Args:
        mend: the remedy; the messages end with it.

    Raises:
        BundleError: the file is missing, has another schema, or was changed.
    """
    return parse_sealed(read_content(path, mend), path, model, schema, mend)


def read_content(path: Path, mend: str) -> bytes:
    """Returns the bytes of a file; raises BundleError, which ends in `mend`, when unreadable."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}): {mend}") from error


def parse_sealed(
    content: bytes, path: Path, model: type[SealedModel], schema: int, mend: str
) -> SealedModel:
    """Parses a sealed record like `read_sealed`; `path` only appears in the messages."""
    name = model.__name__.lower()
    try:
        record = model.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleError(
            f"{path}: is not a {name} of schema {schema} ({where}: {first['msg']}): {mend}"
        ) from error
    if not record.is_intact():
        raise BundleError(f"{path}: the {name} was changed after it was written: {mend}")
    return record
