"""Reads a bundle on its way to a device, from a folder or from a .zip of the folder.

The names in an archive never choose a place on disk: the reader asks for the files of the manifest.
"""

from __future__ import annotations

import hashlib
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from inspection.bundle.manifest import (
    CALIBRATION_FOLDER,
    MANIFEST,
    MAX_MANIFEST_BYTES,
    MEND,
    Manifest,
    require_distinct,
    require_size,
    safe_name,
)
from inspection.errors import BundleError
from inspection.files import TEMPORARY_PREFIX
from inspection.trust.signature import SIGNATURE

_BLOCK_BYTES = 1 << 20
_ENCRYPTED = 1
_MAX_RECORDS_BYTES = 256 << 20
# A graph is weights, which deflate packs to nine tenths. Constant maps pack to a thousandth, but
# are small.
_MAX_RATIO = 20
_FREE_OF_RATIO_BYTES = 256 << 20
# Other methods can unpack a small block to any size in one step.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# zipfile raises these for damage, an encrypted entry and an unknown version of the format.
_ARCHIVE_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    RuntimeError,
    EOFError,
    ValueError,
    OSError,
)


class Package(Protocol):
    """Gives the files of a bundle by their names in the bundle."""

    def sizes(self) -> dict[str, int]:
        """Returns every regular file with its size in bytes."""

    def packed_bytes(self) -> int:
        """Returns the bytes that the package takes on its disk."""

    def blocks(self, name: str) -> Iterator[bytes]:
        """Yields the content of a file, never more than its size.

        Raises:
            BundleError: the file cannot be read.
        """


@contextmanager
def open_package(path: Path) -> Iterator[Package]:
    """Opens a bundle folder, or a .zip with the bundle at its top or in its only folder.

    Raises:
        BundleError: `path` is neither, or contains links, encrypted files, or names that leave the
            bundle.
    """
    if path.is_dir():
        yield _Folder(path)
    elif path.is_file() and zipfile.is_zipfile(path):
        with _telling(path):
            archive = zipfile.ZipFile(path)
        with archive:
            yield _Archive(path, archive)
    else:
        raise BundleError(f"{path}: is not a bundle: give its folder, or a .zip of it")


def manifest_content(package: Package, source: Path) -> bytes:
    """Reads the manifest of a package.

    Raises:
        BundleError: there is none, or it is too large to be one.
    """
    size = package.sizes().get(MANIFEST)
    if size is None:
        raise BundleError(f"{source}: has no {MANIFEST}: it is not a bundle")
    if size > MAX_MANIFEST_BYTES:
        raise BundleError(
            f"{source}: its {MANIFEST} has {size / 2**20:.0f} MiB; no bundle has more than "
            f"{MAX_MANIFEST_BYTES / 2**20:.0f}: do not use it"
        )
    return b"".join(package.blocks(MANIFEST))


def require_exported(
    package: Package,
    manifest: Manifest,
    source: Path,
    *,
    free_bytes: int = _FREE_OF_RATIO_BYTES,
) -> None:
    """Checks the sizes in a package against its manifest, before anything is unpacked.

    Args:
        free_bytes: content of this size may be packed in any ratio.

    Raises:
        BundleError: a file is missing or has another size than its export, or the files unpack to
            more than a bundle can.
    """
    sizes = package.sizes()
    for name in manifest.files:
        if name not in sizes:
            raise BundleError(f"{source}: {name} is missing: {MEND}")
        require_size(manifest, name, sizes[name], source)
    total, packed = sum(sizes[name] for name in manifest.files), package.packed_bytes()
    if total > max(free_bytes, _MAX_RATIO * packed):
        raise BundleError(
            f"{source}: has {packed / 2**20:.0f} MiB and unpacks to {total / 2**20:.0f} MiB; the "
            "weights of a model do not pack like that: do not use it"
        )


def records_of(
    package: Package, source: Path, *, max_bytes: int = _MAX_RECORDS_BYTES
) -> dict[str, bytes]:
    """Reads manifest, signature and calibrations of a package.

    Raises:
        BundleError: the files together exceed `max_bytes`, or a calibration has a name that no
            calibration gets.
    """
    sizes = package.sizes()
    names = [name for name in sizes if name in {MANIFEST, SIGNATURE} or _is_calibration(name)]
    names = [safe_name(name, source) for name in names]
    size = sum(sizes[name] for name in names)
    if size > max_bytes:
        raise BundleError(
            f"{source}: its manifest and calibrations have {size / 2**20:.0f} MiB; no bundle has "
            f"more than {max_bytes / 2**20:.0f}: do not use it"
        )
    return {name: b"".join(package.blocks(name)) for name in names}


def digest_of(records: dict[str, bytes]) -> str:
    """Returns the SHA-256 over manifest, signature and calibrations: the identity of a bundle."""
    digest = hashlib.sha256()
    for name, content in sorted(records.items()):
        digest.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest()


class _Folder:
    """A bundle as a folder; skips links in it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def sizes(self) -> dict[str, int]:
        return {
            file.relative_to(self._path).as_posix(): file.stat().st_size
            for file in self._path.rglob("*")
            if file.is_file() and not file.is_symlink()
        }

    def packed_bytes(self) -> int:
        return sum(self.sizes().values())

    def blocks(self, name: str) -> Iterator[bytes]:
        path = self._path / name
        return _blocks(path, lambda: path.open("rb"))


class _Archive:
    """A .zip of a bundle."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path = path
        self._archive = archive
        self._entries = _entries(path, archive.infolist())
        for entry in archive.infolist():
            # Refuses an entry whose own header has another name: a damaged name in the directory
            # would leave a calibration out, and that is a bundle too.
            with _telling(path):
                archive.open(entry).close()

    def sizes(self) -> dict[str, int]:
        return {name: entry.file_size for name, entry in self._entries.items()}

    def packed_bytes(self) -> int:
        return self._path.stat().st_size

    def blocks(self, name: str) -> Iterator[bytes]:
        return _blocks(self._path / name, lambda: self._archive.open(self._entries[name]))


def _blocks(what: Path, open_stream: Callable[[], IO[bytes]]) -> Iterator[bytes]:
    with _telling(what):
        stream = open_stream()
    with stream:
        while True:
            # Around the read alone: an error of the consumer is not a fault of the file.
            with _telling(what):
                block = stream.read(_BLOCK_BYTES)
            if not block:
                return
            yield block


def _is_calibration(name: str) -> bool:
    path = PurePosixPath(name)
    is_whole = not path.name.startswith(TEMPORARY_PREFIX)
    return path.parts[0] == CALIBRATION_FOLDER and path.suffix == ".json" and is_whole


def _entries(path: Path, listed: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """Returns the files of an archive by their names in the bundle."""
    files: dict[str, zipfile.ZipInfo] = {}
    for entry in listed:
        if entry.is_dir():
            continue
        # zipfile cuts a name at its first NUL.
        name = safe_name(entry.orig_filename.removeprefix("./"), path)
        if stat.S_ISLNK(entry.external_attr >> 16) or name in files:
            raise BundleError(f"{path}: {name} is a link, or occurs twice; do not use this bundle")
        if entry.flag_bits & _ENCRYPTED or entry.compress_type not in _METHODS:
            raise BundleError(f"{path}: {name} is encrypted, or is not packed with deflate")
        files[name] = entry
    require_distinct(files, path)
    top = _top(files)
    return {name.removeprefix(top): file for name, file in files.items() if name.startswith(top)}


def _top(names: dict[str, zipfile.ZipInfo]) -> str:
    """Returns the only folder with a manifest as a prefix; "" when the manifest is at the top."""
    if MANIFEST in names:
        return ""
    tops = [name.removesuffix(MANIFEST) for name in names if name.count("/") == 1]
    tops = [top for top in tops if top.endswith("/")]
    return tops[0] if len(tops) == 1 else ""


@contextmanager
def _telling(what: Path) -> Iterator[None]:
    try:
        yield
    except _ARCHIVE_ERRORS as error:
        raise BundleError(f"{what}: cannot be read ({error}): copy the bundle again") from error
