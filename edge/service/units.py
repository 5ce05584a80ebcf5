"""Installs the files that make a line a service of systemd.

One set of files serves all lines of a device. Each line has a link to its configuration and a
folder of drop-ins. All paths are below a root, which may be the image of a device.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inspection.errors import ConfigError
from inspection.files import write_bytes

UNIT = "linewarden@{line}.service"
PANEL = "linewarden-panel.service"
JOBS = ("linewarden-jobs.path", "linewarden-jobs.service")
UNITS = Path("etc/systemd/system")
_JOBS_DROP_INS = UNITS / f"{JOBS[1]}.d"
CONFIGURATIONS = Path("etc/linewarden")
PANEL_CONFIGURATION = CONFIGURATIONS / "panel/panel.yaml"
DROP_INS = ("jetpack6", "jetpack7", "nvidia-x86", "csi", "gige")

_SHARED = {
    "linewarden@.service": UNITS,
    "linewarden-safe@.service": UNITS,
    "linewarden-panel.service": UNITS,
    "linewarden-jobs.path": UNITS,
    "linewarden-jobs.service": UNITS,
    "sysusers.d/linewarden.conf": Path("etc/sysusers.d"),
    "tmpfiles.d/linewarden.conf": Path("etc/tmpfiles.d"),
    "udev/70-linewarden.rules": Path("etc/udev/rules.d"),
}
_NVIDIA = {"linewarden-nvidia.service": UNITS}
_WITH = {  # further files of a drop-in; a job calibrates with the engine of the line, on its GPU
    "gige": {"sysctl.d/linewarden-gige.conf": Path("etc/sysctl.d")},
    "jetpack6": {"drop-ins/jetpack6.conf": _JOBS_DROP_INS},
    "jetpack7": {"drop-ins/jetpack7.conf": _JOBS_DROP_INS, **_NVIDIA},
    "nvidia-x86": {"drop-ins/nvidia-x86.conf": _JOBS_DROP_INS, **_NVIDIA},
}
_LINE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - compared with, not used
_PANEL_HEAD = """\
# The web pages of this device: linewarden-panel.service. `linewarden example panel` prints a file
# with every key.
schema_version: 1
host: 127.0.0.1  # this device alone
port: 9600
folder: /var/lib/linewarden-panel
lines:
"""
_BACK_OFF = "10-systemd254"  # before override.conf, so that `systemctl edit` has the last word
_BACK_OFF_BEFORE = "systemd254"  # its name on devices of an earlier version
_BACK_OFF_SINCE = 254  # the first version of systemd with RestartSteps=


@dataclass(frozen=True)
class ServiceFile:
    """A file or a link of the service.

    Attributes:
        path: below the root.
        content: of a file, or the target of a link.
    """

    path: Path
    content: bytes | Path

    def state(self, root: Path) -> str:
        """Returns "installed", "differs" or "missing"."""
        path = root / self.path
        if not path.is_symlink() and not path.exists():
            return "missing"
        if isinstance(self.content, Path):
            is_same = path.is_symlink() and path.readlink() == self.content
        else:
            is_same = path.is_file() and path.read_bytes() == self.content
        return "installed" if is_same else "differs"

    def write(self, root: Path) -> None:
        """Writes the file or the link."""
        path = root / self.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(self.content, bytes):
            write_bytes(path, self.content)
            path.chmod(0o644)
        else:
            path.unlink(missing_ok=True)
            path.symlink_to(self.content)


def service_files(
    line: str, config: Path | None = None, drop_ins: Sequence[str] = (), *, root: Path = Path("/")
) -> list[ServiceFile]:
    """Returns the files of the service of a line.

    Args:
        line: name of the line, and of the unit's instance.
        config: its YAML file; None leaves out the link to it.
        drop_ins: of `DROP_INS`.
        root: of the device; its version of systemd decides about newer settings.

    Raises:
        ConfigError: a unit cannot have this name, or the service could not read `config`.
    """
    if not _LINE.fullmatch(line):
        raise ConfigError(f"line {line!r}: use letters, digits, '_', '.' and '-' in its name")
    source = files_folder()
    found = shared_files(drop_ins)
    names = [*drop_ins, *([_BACK_OFF] if _systemd_version(root) >= _BACK_OFF_SINCE else [])]
    for name in names:
        content = (source / "drop-ins" / f"{name}.conf").read_bytes()
        found.append(ServiceFile(drop_in_folder(line) / f"{name}.conf", content))
    link = CONFIGURATIONS / f"{line}.yaml"
    if config is not None and (target := _on_device(config, root)) != Path("/") / link:
        found.append(ServiceFile(link, target))
    return found


def shared_files(drop_ins: Sequence[str] = ()) -> list[ServiceFile]:
    """Returns the files that all lines of a device share, whose drop-ins are of `DROP_INS`."""
    source = files_folder()
    return [
        ServiceFile(folder / Path(name).name, (source / name).read_bytes())
        for name, folder in _shared(drop_ins).items()
    ]


def panel_file(names: Sequence[str]) -> ServiceFile:
    """Returns a configuration of the panel that shows these lines."""
    shown = "".join(f"  {name}: /{CONFIGURATIONS / f'{name}.yaml'}\n" for name in names)
    return ServiceFile(PANEL_CONFIGURATION, (_PANEL_HEAD + shown).encode())


def drop_in_folder(line: str) -> Path:
    """Returns the folder of a line's drop-ins, below the root."""
    return UNITS / f"{UNIT.format(line=line)}.d"


def drop_ins_of(line: str, root: Path) -> list[str]:
    """Returns the members of `DROP_INS` that a line has."""
    folder = root / drop_in_folder(line)
    return [name for name in DROP_INS if (folder / f"{name}.conf").exists()]


def stale_drop_ins(line: str, drop_ins: Sequence[str], root: Path) -> list[Path]:
    """Returns those that a line has beyond `drop_ins`, also by an earlier name; below the root."""
    folder = drop_in_folder(line)
    names = sorted({*DROP_INS, _BACK_OFF_BEFORE} - set(drop_ins))
    paths = [folder / f"{name}.conf" for name in names]
    return [path for path in paths if (root / path).exists()]


def lines(root: Path) -> list[str]:
    """Returns the lines with a configuration on the device."""
    return sorted(path.stem for path in (root / CONFIGURATIONS).glob("*.yaml"))


def is_owned(configuration: Path) -> bool:
    """True for a file of an administrator, False for a link of `ServiceFile`."""
    return configuration.exists() and not configuration.is_symlink()


def remove(line: str, root: Path) -> list[Path]:
    """Removes the files of a line.

    The files of an administrator stay: a configuration that is not a link, other drop-ins.

    Returns:
        the removed paths.
    """
    own = root / CONFIGURATIONS / f"{line}.yaml"
    folder = root / drop_in_folder(line)
    paths = [folder / f"{name}.conf" for name in (*DROP_INS, _BACK_OFF, _BACK_OFF_BEFORE)]
    removed = _unlink([*paths, *([] if is_owned(own) else [own])])
    _remove_empty(folder)
    return removed


def remove_shared(root: Path) -> list[Path]:
    """Removes the files that lines share, and returns their paths."""
    removed = _unlink([root / file.path for file in shared_files(DROP_INS)])
    _remove_empty(root / _JOBS_DROP_INS)
    return removed


def files_folder() -> Path:
    """Returns the folder `systemd`: in the installed package, or beside it in a working copy."""
    package = Path(__file__).parents[1]
    folders = (package / "service" / "systemd", package.parent / "systemd")
    return next(folder for folder in folders if folder.is_dir())


def _remove_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _unlink(paths: Sequence[Path]) -> list[Path]:
    """Removes those files and links that exist, and returns them."""
    found = [path for path in paths if path.is_symlink() or path.exists()]
    for path in found:
        path.unlink()
    return found


def _shared(drop_ins: Sequence[str]) -> dict[str, Path]:
    """Returns the shared files of lines with these drop-ins, with their folders."""
    shared = dict(_SHARED)
    for name in drop_ins:
        shared |= _WITH.get(name, {})
    return shared


def _on_device(config: Path, root: Path) -> Path:
    """Returns the path of a configuration as the service sees it."""
    path = Path(os.path.abspath(config))  # noqa: PTH100 - a link may lead out of the root
    base = Path(os.path.abspath(root))  # noqa: PTH100
    if not path.is_relative_to(base):
        raise ConfigError(f"{config}: should be below --root {root}, as it will be on the device")
    seen = Path("/") / path.relative_to(base)
    if any(seen.is_relative_to(hidden) for hidden in _HIDDEN):
        raise ConfigError(
            f"{seen}: the service sees nothing below {', '.join(_HIDDEN)}; move the configuration "
            "and the files it names, for example to /srv/linewarden"
        )
    return seen


def _systemd_version(root: Path) -> int:
    """Returns the version of systemd on a device, or 0."""
    folders = ("lib/systemd", "usr/lib/systemd", "usr/lib/*/systemd")
    found = [
        int(match[1])
        for folder in folders
        for path in root.glob(f"{folder}/libsystemd-shared-*.so")
        if (match := re.search(r"-(\d+)", path.name))
    ]
    return max(found, default=0)
