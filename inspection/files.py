"""Writes files so that a power cut leaves the old content or the new content, never half of it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from inspection.errors import BundleError
from inspection.names import ESCAPES, encodable

LOCK_WAIT_S = 10.0
TEMPORARY_PREFIX = ".incomplete-"


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file's content as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def is_still_at(descriptor: int, path: Path) -> bool:
    """Returns whether `path` still names the open file, which nobody renamed, removed or replaced.

    Raises:
        OSError: the folder cannot be searched, for another reason than that it is gone.
    """
    try:
        there = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return os.path.samestat(os.fstat(descriptor), there)


@contextmanager
def utf8_path(path: Path) -> Iterator[str]:
    """Yields the path of an existing file for a library that takes UTF-8 alone.

    That is another path to the same file where its own is not UTF-8, good until the block ends.

    Raises:
        OSError: such a file cannot be opened.
    """
    if encodable(str(path)) == str(path):
        yield str(path)
    else:
        with path.open("rb") as stream:
            yield f"/proc/self/fd/{stream.fileno()}"


def write_bytes(
    path: Path, content: bytes, *, private: bool = False, changed: datetime | None = None
) -> None:
    """Replaces `path` by `content` atomically and durably (temporary file, fsync, rename, fsync).

    Args:
        private: True lets only the owner read the file; False leaves its mode to the umask.
        changed: its time of change; None for the present time of day.

    Raises:
        OSError: the file cannot be written; `filename` is `path`.
    """
    temporary = _temporary_beside(path)
    try:
        with temporary.open("xb") as stream:
            if private:
                os.fchmod(stream.fileno(), 0o600)
            stream.write(content)
            stream.flush()
            if changed is not None:
                os.utime(stream.fileno(), (changed.timestamp(), changed.timestamp()))
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:  # a full disk raises one without the file's name
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)


def write_text(path: Path, content: str, *, private: bool = False) -> None:
    """Encodes `content` as UTF-8 and replaces `path` by it, like `write_bytes`.

    A raw name of a file in it becomes printable, see `inspection.names`.
    """
    write_bytes(path, content.encode(errors=ESCAPES), private=private)


def point_link(link: Path, target: str) -> None:
    """Points the symbolic link `link` to `target`, atomically and durably."""
    temporary = _temporary_beside(link)
    temporary.symlink_to(target)
    temporary.replace(link)
    _sync(link.parent)


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """Yields a temporary path; its file replaces `target` when the block ends without an error.

    Use this for content that is too large for `write_bytes`. The block creates the file.
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
    """Holds the lock file `path` against every other process; creates the file when missing.

    The lock ends with the process, even a killed one. The file stays.

    Args:
        what: names the locked folder in the message.

    Raises:
        BundleError: another process holds the lock for longer than `wait_s`, or the lock file
            cannot be created.
    """
    deadline = time.monotonic() + wait_s
    while (descriptor := _try_lock(path, what)) is None:
        if time.monotonic() > deadline:
            raise BundleError(
                f"{what}: another linewarden is writing to it and has not finished in "
                f"{wait_s:.0f} s; wait and try again (fuser {path} names the process)"
            )
        time.sleep(0.05)
    try:
        yield
    finally:
        os.close(descriptor)


def _try_lock(path: Path, what: str) -> int | None:
    """Returns the descriptor of the locked file; None while another process holds it."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError as error:
        raise BundleError(
            f"{what}: cannot be written to ({path}: {error.strerror}); run this as the owner of "
            "that folder"
        ) from error
    # Somebody may remove the file in between: a lock on a file without a name keeps nobody out.
    if _is_locked(descriptor) and is_still_at(descriptor, path):
        return descriptor
    os.close(descriptor)
    return None


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def new_directory(target: Path, *, replace: bool = False, private: bool = False) -> Iterator[Path]:
    """Yields a temporary directory that becomes `target` when the block ends without an error.

    The function flushes every file to disk before the rename, so `target` is complete whenever it
    exists.

    Args:
        replace: removes an existing `target` after the new directory has taken its place. When the
            process is killed in between, the next call repairs that.
        private: lets only the owner enter the directory.

    Raises:
        FileExistsError: `target` exists and `replace` is False.
    """
    remove_leftovers(target)
    if target.exists() and not replace:
        raise FileExistsError(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_beside(target)
    temporary.mkdir(mode=0o700 if private else 0o777)
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # marks the directory as in use, not a leftover
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
    """Removes leftovers of a killed writer beside `target`; restores a `target` that it moved."""
    retired = _retired(target)
    if retired.exists() and not target.exists():
        retired.rename(target)
    shutil.rmtree(retired, ignore_errors=True)
    remove_all_leftovers(target.parent, target.name + "-")


def remove_all_leftovers(folder: Path, name: str = "") -> None:
    """Removes leftovers of killed writers in `folder`, for files whose names begin with `name`."""
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
