"""Records on disk that notice when they were changed: strict JSON with a hash over its content."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.errors import BundleError

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
SealedModel = TypeVar("SealedModel", bound="Sealed")


class Strict(BaseModel):
    """A frozen record that knows all of its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Sealed(Strict):
    """A record that carries the SHA-256 over its other fields.

    The seal finds damage and hasty edits; a signature is what protects against intent.
    """

    seal: str = ""

    def sealed(self: SealedModel) -> SealedModel:
        """A copy whose seal is right."""
        return self.model_copy(update={"seal": self._digest()})

    def is_intact(self) -> bool:
        """Whether the seal fits the content."""
        return self.seal == self._digest()

    def _digest(self) -> str:
        content = json.dumps(self.model_dump(mode="json", exclude={"seal"}), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()


def read_sealed(path: Path, model: type[SealedModel], schema: int, mend: str) -> SealedModel:
    """Read a sealed record.

    Raises:
        BundleError: it is missing, not of this schema, or changed; the message ends in `mend`.
    """
    name = model.__name__.lower()
    try:
        record = model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}): {mend}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleError(
            f"{path}: is not a {name} of schema {schema} ({where}: {first['msg']}): {mend}"
        ) from error
    if not record.is_intact():
        raise BundleError(f"{path}: the {name} was changed after it was written: {mend}")
    return record
