"""Collects all wheels that a device without internet needs, with a lock of their hashes.

The lock is a requirements file of pip: one line per wheel, with its version and its SHA-256. With
`--require-hashes` pip installs these files and no others, and names one that was changed
(https://pip.pypa.io/en/stable/topics/secure-installs/).

pip evaluates conditions such as `python_version < "3.11"` for the Python that runs pip, not for
that of the device (https://github.com/pypa/pip/issues/11198). Where this matters, collect the
wheels with the Python version of the device.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edge.service.units import files_folder
from inspection.errors import ConfigError
from inspection.files import new_directory, sha256_of, write_text

CHECKSUMS = "SHA256SUMS"
LOCK = "requirements.lock"
INSTALLER = "install.sh"
_OWN = "linewarden"


def fill(
    folder: Path,
    source: Path,
    extras: Sequence[str],
    *,
    python: str,
    platforms: Sequence[str],
    lock: Path | None = None,
) -> list[Path]:
    """Builds or copies the wheel of Linewarden, downloads the wheels that it needs, and locks all.

    The folder also gets install.sh, which installs them.

    pip tries the installation from the folder alone before the folder appears.

    Args:
        folder: new.
        source: working copy or wheel of Linewarden.
        extras: optional parts of Linewarden.
        python: version on the device, such as 3.10.
        platforms: tags that the device accepts, such as manylinux_2_34_aarch64.
        lock: versions and hashes of the packages, as `write_lock` wrote them; None takes the newest
            versions.

    Returns:
        the wheels.

    Raises:
        ConfigError: the folder exists, pip is missing or found no wheel of a package for the
            device, or a wheel is not the one that is locked.
    """
    device = ["--only-binary=:all:", "--python-version", python]
    device += [word for platform in platforms for word in ("--platform", platform)]
    try:
        with new_directory(folder) as fresh:
            _pip("wheel", "--no-deps", "--wheel-dir", fresh, source)
            (own,) = fresh.glob(f"{_OWN}-*.whl")
            newest = [_with_extras(str(own), extras)]
            locked = ["--no-deps", "--require-hashes", "--requirement", str(lock)]
            _pip("download", *device, "--dest", fresh, *(newest if lock is None else locked))
            wheels = sorted(fresh.glob("*.whl"))
            head = f"# python={python} platforms={','.join(platforms)}\n"
            write_text(fresh / LOCK, head + "".join(_locked(wheel, extras) for wheel in wheels))
            _try_installation(fresh, device)
            shutil.copy(files_folder() / INSTALLER, fresh)
            _write_checksums(fresh, [*wheels, fresh / LOCK, fresh / INSTALLER])
    except FileExistsError as error:
        raise ConfigError(f"{folder}: exists already; give a new folder, or remove it") from error
    return sorted(folder.glob("*.whl"))


def _write_checksums(folder: Path, files: Sequence[Path]) -> None:
    """Writes the file that `sha256sum --check` reads."""
    sums = "".join(f"{sha256_of(path)}  {path.name}\n" for path in files)
    write_text(folder / CHECKSUMS, sums)


def write_lock(lock: Path, wheels: Sequence[Path]) -> None:
    """Writes versions and hashes of all wheels but that of Linewarden itself, for `fill`."""
    others = [wheel for wheel in wheels if not wheel.name.startswith(f"{_OWN}-")]
    lock.parent.mkdir(parents=True, exist_ok=True)
    write_text(lock, "".join(_locked(wheel, ()) for wheel in others))


def _locked(wheel: Path, extras: Sequence[str]) -> str:
    """Returns the line of a wheel; the extras are of Linewarden."""
    name, version, *_ = wheel.name.split("-")
    name = _with_extras(name, extras) if name == _OWN else name
    return f"{name}=={version} --hash=sha256:{sha256_of(wheel)}\n"


def _with_extras(name: str, extras: Sequence[str]) -> str:
    return f"{name}[{','.join(extras)}]" if extras else name


def _try_installation(folder: Path, device: Sequence[str]) -> None:
    """Has pip do all of an installation on the device but to write it."""
    with tempfile.TemporaryDirectory() as target:
        _pip(
            *("--isolated", "install", "--dry-run", "--ignore-installed", "--target", target),
            *("--no-index", "--find-links", folder, *device),
            *("--require-hashes", "--requirement", folder / LOCK),
        )


def _pip(*words: object) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(  # noqa: S603 - the words are arguments of pip
        [*command, *map(str, words)], stderr=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        lines = done.stderr.splitlines()
        first = next((n for n, line in enumerate(lines) if line.startswith("ERROR")), -3)
        raise ConfigError("pip: " + "\n  ".join(filter(None, map(str.strip, lines[first:]))))
