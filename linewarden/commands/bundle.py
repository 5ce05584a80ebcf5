"""Install bundles on a device, choose the active version, sign and authenticate them.

The store keeps several versions of each bundle. The link 'active' leads to one of them,
which lines open: 'bundle: /var/lib/linewarden/bundles/flange/active'. A version becomes
active only after this machine has verified every file, the signature, the calibrations
and the golden frames. A running line keeps its version: restart it to change.

Another machine signs bundles with an Ed25519 key, over the manifest and the calibrations
in it. A device with public keys in /etc/linewarden/keys (or the folder in LINEWARDEN_KEYS)
runs only bundles that these keys sign. 'device-key' makes the secret of the device there,
which vouches for calibrations and engines made on the device; 'adopt' vouches for those
that a bundle already has. Each signature has a serial, and 'install' refuses a bundle
with a lower serial than one that the device has had. docs/guides/deployment-security.md
describes the protection and its limits.

examples:
  linewarden bundle install flange.zip
  linewarden bundle install flange-of-june.zip --allow-older
  linewarden bundle list
  linewarden bundle activate flange 1a2b3c4d5e6f
  linewarden bundle rollback flange
  linewarden bundle remove flange 20261121T093000Z
  linewarden bundle keygen press-shop.pem
  linewarden bundle sign bundles/flange --key press-shop.pem
  linewarden bundle verify bundles/flange --trust press-shop.pub
  linewarden bundle device-key
  linewarden bundle adopt /var/lib/linewarden/bundles/flange/active
"""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspection.bundle import calibrated_recipes, open_bundle
from inspection.bundle.adoption import adopt
from inspection.bundle.installed import STORE, BundleStore, Version
from inspection.bundle.manifest import MANIFEST
from inspection.errors import BundleError, ConfigError
from inspection.golden_run import require_golden_of_recipes
from inspection.trust.keys import Keys, configured_keys, keys_folder, new_device_key
from inspection.trust.signature import read_signature, sign
from linewarden.parser import Actions

if TYPE_CHECKING:
    from inspection.trust.ed25519 import PublicKey


_NAME = "name of the bundle in the store"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the actions and their options."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    _add_store_actions(actions)
    _add_key_actions(actions)


def run(args: argparse.Namespace) -> int:
    """Does one of the actions."""
    args.act(args)
    return 0


def _add_store_actions(actions: Actions) -> None:
    install = _action(actions, "install", _install, "copy a bundle or its .zip into the store")
    install.add_argument("source", type=Path, metavar="BUNDLE", help="folder or .zip")
    install.add_argument(
        "--allow-older",
        action="store_true",
        help="accept a bundle that was signed before one that this machine has had",
    )
    listing = _action(actions, "list", _list, "every version, the newest first")
    listing.add_argument("name", nargs="?", metavar="NAME", help="only this bundle (default: all)")
    listing.add_argument("--json", action="store_true", help="print as JSON")
    activate = _action(actions, "activate", _activate, "verify a version and make it active")
    remove = _action(actions, "remove", _remove, "delete a version that is not active")
    for action in (activate, remove):
        action.add_argument("name", metavar="NAME", help=_NAME)
        action.add_argument(
            "version",
            metavar="VERSION",
            help="version as 'list' prints it, or the start of its time or hash",
        )
    activate.add_argument(
        "--allow-changes",
        action="store_true",
        help="accept a version that lacks recipes in use, or takes other artefacts for them",
    )
    back = _action(actions, "rollback", _rollback, "make the previous version active again")
    back.add_argument("name", metavar="NAME", help=_NAME)
    for action in (activate, back):
        action.add_argument(
            "--engine",
            help="engine that runs the golden frames of .onnx files (default: that which each is "
            "made for)",
        )
    for action in (install, listing, activate, remove, back):
        action.add_argument(
            "--store", type=Path, default=STORE, metavar="FOLDER", help="default: %(default)s"
        )


def _add_key_actions(actions: Actions) -> None:
    keygen = _action(actions, "keygen", _keygen, "make a key pair: FILE.pem and FILE.pub")
    keygen.add_argument("file", type=Path, metavar="FILE.pem", help="new file of the private key")
    keygen.add_argument("--passphrase", action="store_true", help="ask for one, and encrypt")
    signing = _action(actions, "sign", _sign, "sign a bundle with its calibrations")
    signing.add_argument("--key", type=Path, required=True, metavar="FILE.pem", help="private key")
    signing.add_argument(
        "--serial",
        type=int,
        metavar="NUMBER",
        help="above that of every earlier signature of this bundle (default: the time)",
    )
    verify = _action(actions, "verify", _verify, "verify files, signature and calibrations")
    verify.add_argument(
        "--trust",
        type=Path,
        action="append",
        metavar="FILE.pub",
        help="public key; may be repeated (default: the keys of this machine)",
    )
    _action(actions, "device-key", _device_key, "make the secret of this machine")
    adopt = _action(actions, "adopt", _adopt, "vouch for the calibrations and engines in a bundle")
    for action in (signing, verify, adopt):
        action.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder of the bundle")


def _action(actions: Actions, name: str, act: object, summary: str) -> argparse.ArgumentParser:
    action = actions.add_parser(name, help=summary, description=summary)
    action.set_defaults(act=act)
    return action


def _install(args: argparse.Namespace) -> None:
    version = BundleStore(args.store).install(args.source, allow_older=args.allow_older)
    print(f"{version.name} {version.version}: verified, in {version.folder}")
    if not open_bundle(version.folder).recipes():
        print(f"next: linewarden calibrate {version.folder} --good FOLDER")
    print(f"then: linewarden bundle activate {version.name} {version.version}")


def _list(args: argparse.Namespace) -> None:
    store = BundleStore(args.store)
    names = store.names() if args.name is None else [args.name]
    versions = [version for name in names for version in store.versions(name)]
    if args.name is not None and not versions:
        raise BundleError(f"{args.store}: has no bundle {args.name!r}")
    if args.json:
        print(json.dumps([_described(version) for version in versions], indent=2))
        return
    if not versions:
        print(f"no bundle in {args.store}; 'linewarden bundle install' brings one", file=sys.stderr)
    for version in versions:
        mark = "active" if version.is_active else "previous" if version.is_previous else ""
        found = _described(version)
        recipes = ", ".join(found["recipes"]) or "none"
        signer = f"signature {found['key_id']}" if found["key_id"] else "not signed"
        signer += f", serial {found['serial']}" if found["serial"] else ""
        print(f"{version.name}  {version.version}  {mark:<8}  recipes: {recipes}; {signer}")


def _described(version: Version) -> dict[str, Any]:
    """Returns the state of a version, also of a damaged one."""
    try:
        signature = read_signature(version.folder)
        key_id = signature.statement.key_id if signature else None
        serial = signature.statement.order if signature else None
    except BundleError:
        key_id, serial = "unreadable", None
    return {
        "name": version.name,
        "version": version.version,
        "folder": str(version.folder),
        "is_active": version.is_active,
        "is_previous": version.is_previous,
        "recipes": calibrated_recipes(version.folder),
        "key_id": key_id,
        "serial": serial,
    }


def _activate(args: argparse.Namespace) -> None:
    store = BundleStore(args.store)
    version = store.find(args.name, args.version)
    prove = partial(require_golden_of_recipes, onnx_engine=args.engine)
    store.activate(version, prove, allow_changes=args.allow_changes)
    print(f"{version.name} {version.version}: active; restart its lines to run it")


def _rollback(args: argparse.Namespace) -> None:
    prove = partial(require_golden_of_recipes, onnx_engine=args.engine)
    version = BundleStore(args.store).roll_back(args.name, prove)
    print(f"{version.name} {version.version}: active again; restart its lines to run it")


def _remove(args: argparse.Namespace) -> None:
    store = BundleStore(args.store)
    version = store.find(args.name, args.version)
    store.remove(version)
    print(f"{version.name} {version.version}: removed")


def _keygen(args: argparse.Namespace) -> None:
    from inspection.trust import ed25519  # noqa: PLC0415 - optional package

    passphrase = _new_passphrase() if args.passphrase else None
    key = ed25519.new_key_pair(args.file, passphrase)
    print(f"{args.file}: private key {key.id}; keep it off the devices")
    print(f"{ed25519.public_path(args.file)}: for {keys_folder()} of each device")


def _sign(args: argparse.Namespace) -> None:
    from inspection.trust import ed25519  # noqa: PLC0415 - optional package

    encrypted = ed25519.is_encrypted(args.key)
    passphrase = getpass.getpass(f"passphrase of {args.key}: ") if encrypted else None
    key = ed25519.read_private_key(args.key, passphrase)
    bundle = open_bundle(args.bundle, Keys())  # no keys: an earlier signature does not matter
    for name in bundle.calibrations():
        bundle.read_calibration(bundle.folder / name, "a damaged one is not signed")
    signature = sign(bundle.folder, MANIFEST, bundle.calibrations(), key, serial=args.serial)
    recipes = ", ".join(calibrated_recipes(bundle.folder)) or "none"
    statement = signature.statement
    print(
        f"{args.bundle}: signed by {statement.key_id} with the serial {statement.serial}; recipes "
        f"in it: {recipes}"
    )


def _verify(args: argparse.Namespace) -> None:
    keys = configured_keys()
    if args.trust:
        keys = Keys(_trusted(args.trust), keys.device)
    bundle = open_bundle(args.bundle, keys)
    for name in bundle.calibrations():
        bundle.read_calibration(bundle.folder / name, "calibrate again, or sign again")
    statement = bundle.statement
    signer = f"{statement.key_id}, serial {statement.order}" if statement else None
    print(f"{args.bundle}: {len(bundle.manifest.files)} files as exported")
    print(f"signature: {f'right, by {signer}' if signer else 'not checked, no key is trusted'}")
    print(f"calibrations: {len(bundle.calibrations())}")
    print(f"this machine {keys.describe()}")


def _device_key(_: argparse.Namespace) -> None:
    path = new_device_key()
    print(f"{path}: the secret of this machine; from now on it refuses records without its MAC")
    print("next, for each bundle that has some: linewarden bundle adopt BUNDLE")


def _adopt(args: argparse.Namespace) -> None:
    bundle = open_bundle(args.bundle)
    adopted = adopt(bundle)
    for name in adopted:
        print(f"{name}: vouched for by this machine")
    print(f"{args.bundle}: {len(adopted)} records adopted")


def _trusted(paths: list[Path]) -> dict[str, PublicKey]:
    from inspection.trust import ed25519  # noqa: PLC0415 - optional package

    return {key.id: key for key in map(ed25519.read_public_key, paths)}


def _new_passphrase() -> str:
    passphrase = getpass.getpass("new passphrase: ")
    if not passphrase or passphrase != getpass.getpass("once more: "):
        raise ConfigError("the passphrases are empty or differ; no key was made")
    return passphrase
