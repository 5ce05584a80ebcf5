"""Make a line a service of systemd on a device, with or without internet.

  install     install units, user, udev rules and drop-ins of a line, and enable it
  panel       make the web pages of all lines a service
  update      bring the files of all lines to those of this version, as after an upgrade
  status      show the files of each line, and its state in systemd
  remove      remove the service of a line, or of all; configuration, bundle and records stay
  safe        bring the outputs of a line to their safe state; the units call it after a crash
  wheelhouse  gather all wheels for a device without internet in a folder, with install.sh

You may repeat 'install': it lists every file as new, changed or as it was, and warns of a
port, a client id, a file or a camera that another line of the device has too. With --root
it fills the image of a device instead of this device; with --dry-run it writes nothing.
docs/guides/deployment.md describes a whole installation.

examples:
  linewarden service install press3 --config /srv/linewarden/press3.yaml --drop-in jetpack6
  linewarden service panel
  linewarden service update --dry-run
  linewarden service status
  linewarden service safe --config /etc/linewarden/press3.yaml
  linewarden service wheelhouse wheels --python 3.10 --platform manylinux_2_34_aarch64
  linewarden service wheelhouse wheels --lock locks/py3.10-aarch64.txt
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from edge.line.safe import make_safe
from edge.panel.config import PanelConfig
from edge.service import logs, systemctl, units, wheelhouse
from edge.service.units import DROP_INS, PANEL, PANEL_CONFIGURATION, UNIT, ServiceFile
from edge.station.config import LineConfig
from edge.station.neighbours import shared_with
from inspection.config.loading import load_config
from inspection.errors import ConfigError
from linewarden.parser import Actions

_DONE = {"missing": "new      ", "differs": "changed  ", "installed": "as it was"}
_PLATFORMS = ("manylinux_2_34_aarch64", "manylinux_2_28_aarch64", "manylinux2014_aarch64")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the actions and their options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_unit_actions(actions)
    _add_safe(actions)
    _add_wheelhouse(actions)


def _add_unit_actions(actions: Actions) -> None:
    install = actions.add_parser("install", help="make a line a service")
    install.add_argument("line", help="name of the line")
    install.add_argument("--config", required=True, type=Path, metavar="FILE", help="its YAML file")
    install.add_argument(
        "--drop-in",
        nargs="+",
        default=[],
        choices=DROP_INS,
        help="drop-ins for the device and the line",
    )
    install.add_argument("--dry-run", action="store_true", help="write nothing")
    actions.add_parser("panel", help="make the web pages of all lines a service")
    update = actions.add_parser("update", help="bring all files to those of this version")
    update.add_argument("--dry-run", action="store_true", help="write nothing")
    status = actions.add_parser("status", help="show the files and the state of each line")
    status.add_argument("--json", action="store_true", help="one JSON object on standard output")
    remove = actions.add_parser("remove", help="remove the service of a line, or of all lines")
    removed = remove.add_mutually_exclusive_group(required=True)
    removed.add_argument("line", nargs="?", help="name of the line")
    removed.add_argument("--all", action="store_true", help="all lines and the panel")
    for action in (install, status, remove):
        action.add_argument(
            "--root", type=Path, default=Path("/"), metavar="DIR", help="image of a device"
        )


def _add_safe(actions: Actions) -> None:
    safe = actions.add_parser("safe", help="bring outputs to their safe state")
    safe.add_argument("--config", required=True, type=Path, metavar="FILE", help="a line's YAML")
    safe.add_argument(
        "--within-s",
        type=float,
        default=0.0,
        help="time for further attempts (default: one attempt)",
    )


def _add_wheelhouse(actions: Actions) -> None:
    wheels = actions.add_parser("wheelhouse", help="gather wheels for a device without internet")
    wheels.add_argument("folder", type=Path, help="new folder for the wheels")
    wheels.add_argument("--source", type=Path, default=Path(), help="working copy, or a wheel")
    wheels.add_argument(
        "--extras",
        nargs="*",
        default=["onnxruntime", "calibration", "health"],
        help="parts of Linewarden (%(default)s)",
    )
    wheels.add_argument("--python", default="3.10", help="version on the device (%(default)s)")
    wheels.add_argument(
        "--platform", nargs="+", default=_PLATFORMS, help="platform tags of the device"
    )
    locks = wheels.add_mutually_exclusive_group()
    locks.add_argument(
        "--lock", type=Path, metavar="FILE", help="take the versions and hashes in this file alone"
    )
    locks.add_argument(
        "--write-lock", type=Path, metavar="FILE", help="write versions and hashes for --lock"
    )


def run(args: argparse.Namespace) -> int:
    """Does the action."""
    actions = {
        "install": _install,
        "panel": _panel,
        "update": _update,
        "status": _status,
        "remove": _remove,
        "safe": _safe,
        "wheelhouse": _wheelhouse,
    }
    return actions[args.action](args)


def _install(args: argparse.Namespace) -> int:
    config = load_config(args.config, LineConfig)
    _require_folder(args.root)
    for shared in shared_with(config, _neighbours(args)):
        print(f"warning: {shared}", file=sys.stderr)
    found = units.service_files(args.line, args.config, args.drop_in, root=args.root)
    own = args.root / units.CONFIGURATIONS / f"{args.line}.yaml"
    if any(isinstance(file.content, Path) for file in found) and units.is_owned(own):
        raise ConfigError(f"{own}: is another configuration; give it as --config, or move it")
    _write(found, args.root, is_dry=args.dry_run)
    stale = units.stale_drop_ins(args.line, args.drop_in, args.root)
    _unlink(stale, args.root, is_dry=args.dry_run)
    if args.dry_run:
        print("nothing was written")
    else:
        unit = UNIT.format(line=args.line)
        if args.root == Path("/"):
            systemctl.prepare(args.drop_in)
        systemctl.enable(unit, args.root)
        if args.root == Path("/"):
            print(f"start it:  systemctl restart {unit}")
        else:
            print("systemd makes the user and the folders when the device starts")
    return 0


def _write(files: Iterable[ServiceFile], root: Path, *, is_dry: bool) -> None:
    """Writes the files that are not as they should be, and lists all."""
    for file in files:
        state = file.state(root)
        if state != "installed" and not is_dry:
            file.write(root)
        print(f"{_DONE[state]}  /{file.path}")


def _unlink(paths: Iterable[Path], root: Path, *, is_dry: bool) -> None:
    """Removes files, and lists them."""
    for path in paths:
        if not is_dry:
            (root / path).unlink()
        print(f"removed    /{path}")


def _panel(_args: argparse.Namespace) -> int:
    root = Path("/")
    here = units.lines(root)
    if not here:
        raise ConfigError("the panel has no line to show; install one with 'service install'")
    if (root / PANEL_CONFIGURATION).exists():
        print(f"as it was  /{PANEL_CONFIGURATION}")
        shown = load_config(root / PANEL_CONFIGURATION, PanelConfig).lines
        for line in sorted(set(here) - set(shown)):
            print(f"warning: /{PANEL_CONFIGURATION} has no line {line}", file=sys.stderr)
    else:
        _write([units.panel_file(here)], root, is_dry=False)
    systemctl.enable(PANEL, root)
    print(f"start it:  systemctl restart {PANEL}")
    return 0


def _update(args: argparse.Namespace) -> int:
    root = Path("/")
    drop_ins = {line: units.drop_ins_of(line, root) for line in units.lines(root)}
    for line in drop_ins:  # nothing is written when this version refuses one
        load_config(root / units.CONFIGURATIONS / f"{line}.yaml", LineConfig)
    if (root / PANEL_CONFIGURATION).exists():
        load_config(root / PANEL_CONFIGURATION, PanelConfig)
    used = sorted({name for names in drop_ins.values() for name in names})
    found = {file.path: file for file in units.shared_files(used)}
    stale = []
    for line, names in drop_ins.items():
        found |= {file.path: file for file in units.service_files(line, drop_ins=names)}
        stale += units.stale_drop_ins(line, names, root)
    _write(found.values(), root, is_dry=args.dry_run)
    _unlink(stale, root, is_dry=args.dry_run)
    if args.dry_run:
        print("nothing was written")
    else:
        systemctl.prepare(used)
    return 0


def _neighbours(args: argparse.Namespace) -> dict[str, LineConfig]:
    """Returns the other lines of the device that can be read, and names the rest."""
    found = {}
    for name in sorted(set(units.lines(args.root)) - {args.line}):
        try:
            path = args.root / units.CONFIGURATIONS / f"{name}.yaml"
            found[name] = load_config(path, LineConfig)
        except ConfigError as error:
            first = str(error).splitlines()[0]
            print(f"warning: not compared with {name}: {first}", file=sys.stderr)
    return found


def _status(args: argparse.Namespace) -> int:
    _require_folder(args.root)
    report = {}
    for line in units.lines(args.root):
        drop_ins = units.drop_ins_of(line, args.root)
        found = units.service_files(line, drop_ins=drop_ins, root=args.root)
        states = {f"/{file.path}": file.state(args.root) for file in found}
        shown = systemctl.state(line) if systemctl.is_here(args.root) else {}
        report[line] = {"files": states, "systemd": shown}
    if args.json:
        print(json.dumps(report, indent=2))
        return 0
    if not report:
        print(f"no line is configured in {args.root / units.CONFIGURATIONS}")
    for line, seen in report.items():
        print(f"{UNIT.format(line=line)}")
        for name, value in seen["systemd"].items():
            print(f"  {name}: {value}")
        for path, state in seen["files"].items():
            print(f"  {state:<9}  {path}")
    return 0


def _remove(args: argparse.Namespace) -> int:
    _require_folder(args.root)
    here = units.lines(args.root)
    if not args.all and args.line not in here:
        raise ConfigError(f"{args.line}: no such line in {args.root / units.CONFIGURATIONS}")
    leaving = here if args.all else [args.line]
    removed = []
    for line in leaving:
        systemctl.disable(UNIT.format(line=line), args.root)
        removed += units.remove(line, args.root)
    if leaving == here:
        if (args.root / units.UNITS / PANEL).exists():
            systemctl.disable(PANEL, args.root)
        if systemctl.is_here(args.root):
            systemctl.stop(*units.JOBS)  # a job may run in what is removed
        removed += units.remove_shared(args.root)
    for path in removed:
        print(f"removed  {path}")
    if systemctl.is_here(args.root):
        systemctl.reload()
    return 0


def _safe(args: argparse.Namespace) -> int:
    logs.configure()
    make_safe(load_config(args.config, LineConfig).outputs, within_s=args.within_s)
    return 0


def _wheelhouse(args: argparse.Namespace) -> int:
    if args.lock is not None and not args.lock.is_file():
        raise ConfigError(f"--lock {args.lock}: no such file; write it with --write-lock")
    wheels = wheelhouse.fill(
        args.folder,
        args.source,
        args.extras,
        python=args.python,
        platforms=args.platform,
        lock=args.lock,
    )
    if args.write_lock is not None:
        wheelhouse.write_lock(args.write_lock, wheels)
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if here != args.python:
        sys.stderr.write(
            f"linewarden: gathered by Python {here} for {args.python}: wheels that only that "
            f"version needs may be missing; try the installation, or use Python {args.python}\n"
        )
    megabytes = sum(path.stat().st_size for path in wheels) / 1e6
    print(f"{len(wheels)} wheels, {megabytes:.0f} MB. On the device:")
    print(f"  sudo {args.folder.name}/{wheelhouse.INSTALLER}")
    return 0


def _require_folder(root: Path) -> None:
    if not root.is_dir():
        raise ConfigError(
            f"{root}: no such folder; give the root of the image of a device as --root"
        )
