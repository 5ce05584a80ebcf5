"""Records on disk that notice when they were changed: strict JSON with a hash over its content.

A record that is made on a device may carry a MAC too, which takes the key of that device.
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
    """A frozen record that knows all of its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Sealed(Strict):
    """A record that carries the SHA-256 over its other fields.

    The seal finds damage and hasty edits; only a key finds forgery: see `Vouched`, and
    `inspection.trust.signature` for the files of an export.
    """

    seal: str = ""

    def sealed(self: SealedModel) -> SealedModel:
        """Returns a copy with the right seal."""
        return self.model_copy(update={"seal": self._digest()})

    def is_intact(self) -> bool:
        """Returns whether the seal fits the content."""
        return self.seal == self._digest()

    def _digest(self) -> str:
        return hashlib.sha256(self._content()).hexdigest()

    def _content(self) -> bytes:
        content = self.model_dump(mode="json", exclude={"seal", "mac"})
        return json.dumps(content, sort_keys=True).encode()


class Vouched(Sealed):
    """A record that a device makes and authenticates with its key.

    Attributes:
        mac: HMAC-SHA256 (RFC 2104) over the content under that key; empty without a key.
    """

    mac: str = ""

    def vouched(self: VouchedModel, key: bytes) -> VouchedModel:
        """Returns a copy with the right seal and MAC."""
        return self.sealed().model_copy(update={"mac": self._mac(key)})

    def is_vouched(self, key: bytes) -> bool:
        """Returns whether the holder of `key` wrote this very content."""
        return hmac.compare_digest(self.mac.encode(), self._mac(key).encode())

    def _mac(self, key: bytes) -> str:
        # The kind stands in front, so that no record passes for one of another kind.
        kind = type(self).__name__.lower().encode()
        return hmac.new(key, kind + b"\n" + self._content(), hashlib.sha256).hexdigest()


def read_sealed(path: Path, model: type[SealedModel], schema: int, mend: str) -> SealedModel:
    """Read a sealed record.

    Raises:
        BundleError: it is missing, not of this schema, or changed; the message ends in `mend`.
    """
    return parse_sealed(read_content(path, mend), path, model, schema, mend)


def read_content(path: Path, mend: str) -> bytes:
    """Returns the bytes of a file; BundleError, which ends in `mend`, when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}): {mend}") from error


def parse_sealed(
    content: bytes, path: Path, model: type[SealedModel], schema: int, mend: str
) -> SealedModel:
    """Returns the sealed record with this content; `path` is for the message, see `read_sealed`."""
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
