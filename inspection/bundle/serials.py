"""Remembers the highest serial that a bundle had on this machine, against replays of older ones.

The file lies beside the versions, because a removed version must not make its predecessors new
again::

    STORE/<name of the bundle>/serial.json

It has a seal and no MAC: whoever may write into the store may exchange the active version too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from inspection.bundle.manifest import MANIFEST, MAX_MANIFEST_BYTES, MEND
from inspection.errors import BundleError
from inspection.files import write_text
from inspection.trust.keys import Keys
from inspection.trust.sealed import Sealed, read_content, read_sealed
from inspection.trust.signature import Serial, read_signature, verified_statement

HIGHEST = "serial.json"
ALLOW_OLDER = "--allow-older"


class Highest(Sealed):
    """The highest serial of a bundle on this machine."""

    schema_version: Literal[1] = 1
    serial: Serial


def remembered(home: Path) -> int:
    """Returns the highest serial so far of the bundle in the folder `home`; 0 for none.

    Raises:
        BundleError: the file is damaged.
    """
    path = home / HIGHEST
    if not path.exists():
        return 0
    mend = f"install the newest version with {ALLOW_OLDER}, which writes it anew"
    return read_sealed(path, Highest, mend).serial


def serial_of(version: Path, keys: Keys) -> int:
    """Returns the serial of an installed version; 0 when no trusted key signed it."""
    try:
        manifest = read_content(version / MANIFEST, MEND, max_bytes=MAX_MANIFEST_BYTES)
        statement = verified_statement(read_signature(version), version, manifest, keys)
    except BundleError:
        return 0
    return 0 if statement is None else statement.order


def remember(home: Path, serial: int) -> None:
    """Writes the highest serial of a bundle."""
    write_text(home / HIGHEST, Highest(serial=serial).sealed().model_dump_json(indent=2) + "\n")


def require_newer(serial: int, highest: int, name: str, source: Path) -> None:
    """Raises BundleError when a bundle is older than one that this machine has had."""
    if serial < highest:
        raise BundleError(
            f"{source}: was signed with the serial {serial}, and this machine has had {name} with "
            f"{highest}: take the newest bundle, or {ALLOW_OLDER} to go back on purpose"
        )
