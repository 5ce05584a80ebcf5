"""Writing files so that a power cut leaves the old content or the new one, never half of it."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY_PREFIX = ".incomplete-"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` by `content` atomically and durably (temporary file, fsync, rename, fsync)."""
    temporary = _temporary_beside(path)
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)


def write_text(path: Path, content: str) -> None:
    """Replace `path` by UTF-8 `content` atomically and durably."""
    write_bytes(path, content.encode())


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """Yield a temporary path whose file replaces `target` when the block ends without an error.

    For what is too large for `write_bytes`; the block makes the file.
    """
    temporary = _temporary_beside(target)
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    _sync(target.parent)


@contextmanager
def new_directory(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary directory that becomes `target` when the block ends without an error.

    Every file in it is flushed to disk before the rename, so `target` is complete whenever it
    exists. An existing `target` raises FileExistsError unless `replace` is set; then the old
    directory is removed only after the new one stands complete beside it.
    """
    if target.exists() and not replace:
        raise FileExistsError(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target)
    temporary = _temporary_beside(target)
    temporary.mkdir()
    try:
        yield temporary
        for path in temporary.rglob("*"):
            _sync(path)
        _sync(temporary)
        if target.exists():
            retired = _temporary_beside(target)
            target.rename(retired)
            temporary.rename(target)
            shutil.rmtree(retired)
        else:
            temporary.rename(target)
        _sync(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_leftovers(target: Path) -> None:
    """Remove what a killed writer of `target` left beside it."""
    for leftover in target.parent.glob(f"{TEMPORARY_PREFIX}{target.name}-*"):
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()


def _temporary_beside(path: Path) -> Path:
    return path.with_name(f"{TEMPORARY_PREFIX}{path.name}-{uuid.uuid4().hex[:12]}")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
