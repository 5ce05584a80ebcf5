"""Collects in a folder all wheels that a device without internet needs.

pip evaluates conditions such as `python_version < "3.11"` for the Python that runs pip, not for
that of the device (https://github.com/pypa/pip/issues/11198). Where this matters, collect the
wheels with the Python version of the device.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from inspection.errors import ConfigError
from inspection.files import sha256_of, write_text

CHECKSUMS = "SHA256SUMS"


def fill(
    folder: Path, source: Path, extras: Sequence[str], *, python: str, platforms: Sequence[str]
) -> list[Path]:
    """Builds or copies the wheel of Linewarden, and downloads the wheels that it needs.

    Args:
        source: working copy or wheel of Linewarden.
        extras: optional parts of Linewarden.
        python: version on the device, such as 3.10.
        platforms: tags that the device accepts, such as manylinux_2_34_aarch64.

    Returns:
        the wheels.

    Raises:
        ConfigError: pip is missing, or found no wheel of a package for the device.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _pip("wheel", "--no-deps", "--wheel-dir", folder, source)
    wheel = max(folder.glob("linewarden-*.whl"), key=lambda path: path.stat().st_mtime_ns)
    tags = [word for platform in platforms for word in ("--platform", platform)]
    wanted = f"{wheel}[{','.join(extras)}]" if extras else str(wheel)
    options = ("--only-binary=:all:", "--python-version", python, *tags, "--dest", folder)
    _pip("download", *options, wanted)
    wheels = sorted(folder.glob("*.whl"))
    sums = "".join(f"{sha256_of(path)}  {path.name}\n" for path in wheels)
    write_text(folder / CHECKSUMS, sums)
    return wheels


def _pip(*words: object) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(  # noqa: S603 - the words are arguments of pip
        [*command, *map(str, words)], stderr=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        reason = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise ConfigError("pip: " + "; ".join(reason or done.stderr.splitlines()[-3:]))
