"""Defines records on disk that detect changes: strict JSON with a hash over its content.

A record made on a device may also carry a MAC with the key of that device.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import stat
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inspection.errors import BundleError

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# A calibration with 700,000 images; every other record is far smaller.
MAX_RECORD_BYTES = 64 << 20
_SHOWN = 200

StrictModel = TypeVar("StrictModel", bound="Strict")
SealedModel = TypeVar("SealedModel", bound="Sealed")
VouchedModel = TypeVar("VouchedModel", bound="Vouched")


class Strict(BaseModel):
    """A frozen record that refuses unknown keys, and numbers that are not finite."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False
    )


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


def read_sealed(path: Path, model: type[SealedModel], mend: str) -> SealedModel:
    """Reads a sealed record.

    Args:
        mend: the remedy; the messages end with it.

    Raises:
        BundleError: the file is missing, has another schema, or was changed.
    """
    return parse_sealed(read_content(path, mend), path, model, mend)


def read_content(path: Path, mend: str, *, max_bytes: int = MAX_RECORD_BYTES) -> bytes:
    """Returns the bytes of a regular file.

    Args:
        mend: the remedy; the messages end with it.

    Raises:
        BundleError: the file cannot be read, or has more than `max_bytes`.
    """
    try:
        with open(path, "rb", opener=_without_waiting) as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise BundleError(f"{path}: is not a file: {mend}")
            if status.st_size > max_bytes:
                raise BundleError(
                    f"{path}: has more than {max_bytes / 2**20:.0f} MiB, and no such file is so "
                    f"large: {mend}"
                )
            return stream.read(status.st_size)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}): {mend}") from error


def _without_waiting(path: str, flags: int) -> int:
    """Opens a file; a pipe would wait for its writer."""
    return os.open(path, flags | os.O_NONBLOCK)


def parse_record(content: bytes, path: Path, model: type[StrictModel], mend: str) -> StrictModel:
    """Parses a record in JSON. pydantic's parser bounds the depth and the digits of a number.

    Args:
        path: file of the record, for the messages.
        mend: the remedy; the messages end with it.

    Raises:
        BundleError: names the first wrong key.
    """
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        where = f"{key}: {first['msg']}" if key else first["msg"]
        schema = model.model_fields.get("schema_version")
        kind = _kind(model) + (f" of schema {schema.default}" if schema else "")
        raise BundleError(f"{path}: is not a {kind} ({printable(where)}): {mend}") from error


def printable(text: str) -> str:
    """Returns text from a file for a message: short, and without control characters."""
    shown = "".join(character if character.isprintable() else "?" for character in text)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."


def parse_sealed(content: bytes, path: Path, model: type[SealedModel], mend: str) -> SealedModel:
    """Parses a sealed record like `read_sealed`; `path` only appears in the messages."""
    record = parse_record(content, path, model, mend)
    if not record.is_intact():
        raise BundleError(f"{path}: the {_kind(model)} was changed after it was written: {mend}")
    return record


def _kind(model: type[Strict]) -> str:
    """Returns the name of a kind of record in words: "cpu record"."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", model.__name__).lower()
