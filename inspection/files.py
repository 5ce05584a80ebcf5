"""Writing files so that a power cut leaves the old content or the new one, never half of it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inspection.errors import BundleError

LOCK_WAIT_S = 10.0
TEMPORARY_PREFIX = ".incomplete-"


def sha256_of(path: Path) -> str:
    """Returns SHA-256 of a file's content as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_bytes(path: Path, content: bytes, *, private: bool = False) -> None:
    """Replace `path` by `content` atomically and durably (temporary file, fsync, rename, fsync).

    Args:
        private: only the owner may read it; otherwise by the umask.

    Raises:
        OSError: it cannot be written; `filename` is `path`.
    """
    temporary = _temporary_beside(path)
    try:
        with temporary.open("xb") as stream:
            if private:
                os.fchmod(stream.fileno(), 0o600)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:  # of a full disk it does not tell the file
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)


def write_text(path: Path, content: str, *, private: bool = False) -> None:
    """Replace `path` by UTF-8 `content` atomically and durably; see `write_bytes`."""
    write_bytes(path, content.encode(), private=private)


def point_link(link: Path, target: str) -> None:
    """Make the symbolic link `link` point to `target`, atomically and durably."""
    temporary = _temporary_beside(link)
    temporary.symlink_to(target)
    temporary.replace(link)
    _sync(link.parent)


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """Yield a temporary path whose file replaces `target` when the block ends without an error.

    For content too large for `write_bytes`; the block makes the file.
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
def locked(path: Path, what: str, *, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
    """Hold the lock file `path`, which is made when missing, against every other process.

    The lock ends with the process; the file stays.

    Args:
        what: the content being written, for the message.

    Raises:
        BundleError: another one holds it for longer than `wait_s`, or it cannot be made.
    """
    try:
        stream = path.open("a")
    except OSError as error:
        raise BundleError(
            f"{what}: cannot be written to ({path}: {error.strerror}); run this as the owner of "
            "that folder"
        ) from error
    with stream:
        deadline = time.monotonic() + wait_s
        while not _is_locked(stream.fileno()):
            if time.monotonic() > deadline:
                raise BundleError(
                    f"{what}: another linewarden is writing to it, for {wait_s:.0f} s now; wait "
                    f"for its end and try again (fuser {path} names it)"
                )
            time.sleep(0.05)
        yield


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def new_directory(target: Path, *, replace: bool = False, private: bool = False) -> Iterator[Path]:
    """Yield a temporary directory that becomes `target` when the block ends without an error.

    Every file in it is flushed to disk before the rename, so `target` is complete whenever it
    exists. An existing `target` raises FileExistsError unless `replace` is set; then the old
    directory is removed only after the new one is in its place, and the next call mends a kill in
    between. Only the owner may enter a `private` one.
    """
    remove_leftovers(target)
    if target.exists() and not replace:
        raise FileExistsError(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_beside(target)
    temporary.mkdir(mode=0o700 if private else 0o777)
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # as long as it lives, it is no leftover
        yield temporary
        for path in temporary.rglob("*"):
            _sync(path)
        _sync(temporary)
        if target.exists():
            target.rename(_retired(target))
        temporary.rename(target)
        _sync(target.parent)
        shutil.rmtree(_retired(target), ignore_errors=True)
    finally:
        os.close(descriptor)
        shutil.rmtree(temporary, ignore_errors=True)


def remove_leftovers(target: Path) -> None:
    """Remove the leftovers of a killed writer of `target`; restore the directory it had moved."""
    retired = _retired(target)
    if retired.exists() and not target.exists():
        retired.rename(target)
    shutil.rmtree(retired, ignore_errors=True)
    remove_all_leftovers(target.parent, target.name + "-")


def remove_all_leftovers(folder: Path, name: str = "") -> None:
    """Remove the leftovers of killed writers in `folder`, of files that begin with `name`."""
    for leftover in folder.glob(f"{TEMPORARY_PREFIX}{name}*"):
        if leftover.is_symlink() or not leftover.is_dir():
            leftover.unlink()
        elif not _is_in_use(leftover):
            shutil.rmtree(leftover)


def _is_in_use(temporary: Path) -> bool:
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        return not _is_locked(descriptor)
    finally:
        os.close(descriptor)


def _retired(target: Path) -> Path:
    return target.with_name(f".old-{target.name}")


def _temporary_beside(path: Path) -> Path:
    return path.with_name(f"{TEMPORARY_PREFIX}{path.name}-{uuid.uuid4().hex[:12]}")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
