"""Installs bundles on a device: several versions of each, of which one is active.

::

    STORE/<name of the bundle>/
        serial.json                      the highest serial so far, see `inspection.bundle.serials`
        20261121T093000Z-1a2b3c4d5e6f/   a version: time of the installation and digest
        active -> 20261121T093000Z-...   the version that a line opens: `STORE/<name>/active`
        previous -> ...                  the version that was active before, for a rollback

The store copies and verifies a version before it renames it to its place, so that an installed
version is always complete. `active` changes by one rename; a running line keeps its version.
Calibrations and engines made on the device stay with their version.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from inspection.bundle.bundle import Bundle, open_bundle
from inspection.bundle.manifest import CALIBRATION_FOLDER, MANIFEST, Manifest, parse_manifest
from inspection.bundle.package import (
    Package,
    digest_of,
    manifest_content,
    open_package,
    records_of,
    require_exported,
)
from inspection.bundle.serials import remember, remembered, require_newer, serial_of
from inspection.errors import BundleError, ConfigError
from inspection.files import (
    TEMPORARY_PREFIX,
    locked,
    new_directory,
    point_link,
    remove_all_leftovers,
)
from inspection.trust.keys import Keys, configured_keys
from inspection.trust.signature import SIGNATURE, parse_signature, verified_statement

STORE = Path("/var/lib/linewarden/bundles")
MAX_BYTES = 8 << 30
ACTIVE, PREVIOUS = "active", "previous"
_LOCK = ".lock"
_VERSION = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{12}")


@dataclass(frozen=True)
class Version:
    """One installed version of a bundle."""

    name: str
    version: str
    folder: Path
    is_active: bool
    is_previous: bool


class BundleStore:
    """The bundles under one folder.

    Args:
        keys: keys to verify with; None takes the keys of this machine.
        max_bytes: largest size of a bundle's files.
    """

    def __init__(
        self, folder: Path = STORE, keys: Keys | None = None, *, max_bytes: int = MAX_BYTES
    ) -> None:
        self.folder = folder
        self._keys = configured_keys() if keys is None else keys
        self._max_bytes = max_bytes

    def names(self) -> list[str]:
        """Returns the names of the bundles with at least one version here."""
        folders = self.folder.iterdir() if self.folder.is_dir() else ()
        return sorted(folder.name for folder in folders if self.versions(folder.name))

    def versions(self, name: str) -> list[Version]:
        """Returns the versions of a bundle, the newest first."""
        home = self.folder / name
        active, previous = _target(home / ACTIVE), _target(home / PREVIOUS)
        folders = home.iterdir() if home.is_dir() else ()
        found = sorted((f.name for f in folders if _VERSION.fullmatch(f.name)), reverse=True)
        return [Version(name, v, home / v, v == active, v == previous != active) for v in found]

    def find(self, name: str, version: str) -> Version:
        """Returns the only version whose name or digest begins with `version`.

        Raises:
            BundleError: no version matches, or several do.
        """
        versions = self.versions(name)
        found = [v for v in versions if _is_named(v.version, version)]
        if len(found) == 1:
            return found[0]
        there = ", ".join(v.version for v in versions) or f"none of a bundle {name!r}"
        what = "more than one version" if found else "no version"
        raise BundleError(f"{self.folder}: has {what} {version!r} of {name}; it has {there}")

    def install(self, source: Path, *, allow_older: bool = False) -> Version:
        """Copies a bundle or its .zip into the store as a new version, and verifies it there.

        Copies the calibrations too, but no engines: each device builds its plans. Returns the
        installed version when the same bundle is already there and complete.

        Args:
            allow_older: accepts a bundle that was signed before one that this machine has had.

        Raises:
            BundleError: the bundle does not verify, no key authenticates one of its calibrations,
                it is too large for the store, or it is older than one that this machine has had.
        """
        with open_package(source) as package:
            manifest = parse_manifest(manifest_content(package, source), source)
            name = _folder_name(manifest.name, source)
            require_exported(package, manifest, source)
            records = records_of(package, source)
            serial = self._serial(records, source)
            sizes = package.sizes()
            with self._writing(name, create=True) as home:
                content = digest_of(records)[:12]
                for version in self.versions(name):
                    if version.version.endswith(content) and self._is_whole(version.folder):
                        _require_files(package, manifest, source)
                        return version
                remove_all_leftovers(home)
                highest = self._highest(home, allow_older=allow_older)
                if self._keys.trusted and not allow_older:
                    require_newer(serial, highest, name, source)
                size = sum(sizes[file] for file in manifest.files)
                _require_room(source, home, size, self._max_bytes)
                now = datetime.now(timezone.utc)
                target = home / f"{now:%Y%m%dT%H%M%SZ}-{content}"
                with _telling_of_the_disk(home), new_directory(target) as folder:
                    for file, record in records.items():
                        _write(folder / file, iter([record]), len(record))
                    for file in manifest.files:
                        _write(folder / file, package.blocks(file), sizes[file])
                    self._verify(folder, source)
                    if serial:
                        # First: a version that counts as installed has left its serial.
                        remember(home, max(serial, highest))
                return self.find(name, target.name)

    def activate(
        self,
        version: Version,
        prove: Callable[[Bundle], None],
        *,
        allow_changes: bool = False,
    ) -> None:
        """Verifies a version and activates it; the active version becomes the previous one.

        Args:
            prove: raises when the bundle does not run on this machine.
            allow_changes: accepts a version that lacks recipes of the active one, or that
                calibrated them through other artefacts.

        Raises:
            BundleError: the version does not verify, or a line that runs now would not start with
                it.
        """
        with self._writing(version.name) as home:
            bundle = self._ready(version.folder, prove)
            active = _target(home / ACTIVE)
            if active == version.version:
                return
            if active is not None:
                if not allow_changes:
                    _require_recipes_of(home / active, bundle)
                point_link(home / PREVIOUS, active)
            point_link(home / ACTIVE, version.version)

    def roll_back(self, name: str, prove: Callable[[Bundle], None]) -> Version:
        """Verifies the previous version and activates it; returns it.

        Afterwards there is no previous version, so that a second call cannot bring back the version
        that this call deactivated.

        Raises:
            BundleError: there is no previous version, or it no longer verifies.
        """
        with self._writing(name) as home:
            previous = next((v for v in self.versions(name) if v.is_previous), None)
            if previous is None:
                raise BundleError(
                    f"{home}: has no previous version to go back to; linewarden bundle list shows "
                    "the versions, and linewarden bundle activate takes any of them"
                )
            self._ready(previous.folder, prove)
            point_link(home / ACTIVE, previous.version)
            (home / PREVIOUS).unlink()
            return self.find(name, previous.version)

    def remove(self, version: Version) -> None:
        """Deletes a version with its calibrations and engines.

        Raises:
            BundleError: the version is the active or the previous one.
        """
        with self._writing(version.name) as home:
            if version.version in {_target(home / ACTIVE), _target(home / PREVIOUS)}:
                raise BundleError(
                    f"{version.folder}: is the active or the previous version; both are kept"
                )
            retired = home / f"{TEMPORARY_PREFIX}{version.version}"
            version.folder.rename(retired)  # first, so that half a version never has its name
            shutil.rmtree(retired)

    def _ready(self, folder: Path, prove: Callable[[Bundle], None]) -> Bundle:
        bundle = open_bundle(folder, self._keys)
        recipes = bundle.recipes()
        if not recipes:
            raise BundleError(
                f"{folder}: no recipe is calibrated: linewarden calibrate {folder} --good FOLDER"
            )
        for recipe, artefact in recipes.items():
            bundle.calibration(recipe, artefact)
        prove(bundle)
        return bundle

    def _is_whole(self, folder: Path) -> bool:
        try:
            open_bundle(folder, self._keys)
        except BundleError:
            return False
        return True

    def _verify(self, folder: Path, source: Path) -> None:
        try:
            bundle = open_bundle(folder, self._keys)
            for name in bundle.calibrations():
                bundle.read_calibration(
                    folder / name,
                    f"have the bundle signed with its calibrations, or remove {CALIBRATION_FOLDER} "
                    "from it and calibrate on this machine",
                )
        except BundleError as error:
            # The copy will be removed; the fault lies in the source.
            raise BundleError(str(error).replace(str(folder), str(source))) from error

    def _serial(self, records: dict[str, bytes], source: Path) -> int:
        """Returns the serial that a trusted key signed; 0 on a machine that trusts none."""
        if not self._keys.trusted:
            return 0
        content = records.get(SIGNATURE)
        signature = None if content is None else parse_signature(content, source / SIGNATURE)
        statement = verified_statement(signature, source, records[MANIFEST], self._keys)
        return 0 if statement is None else statement.order

    def _highest(self, home: Path, *, allow_older: bool) -> int:
        """Returns the highest serial that the bundle had here; counts the installed versions too.

        A store of an older release remembers none.
        """
        known = [serial_of(version.folder, self._keys) for version in self.versions(home.name)]
        try:
            known.append(remembered(home))
        except BundleError:
            if not allow_older:
                raise
        return max(known, default=0)

    @contextmanager
    def _writing(self, name: str, *, create: bool = False) -> Iterator[Path]:
        home = self.folder / name
        try:
            if create:
                home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"{home}: cannot be made ({error.strerror}); run this as the owner of the store, "
                "or choose another with --store"
            ) from error
        if not home.is_dir():
            raise BundleError(f"{self.folder}: has no bundle {name!r}")
        with locked(home / _LOCK, str(home)):
            yield home


def _write(path: Path, blocks: Iterator[bytes], size: int) -> None:
    """Writes a file of `size` bytes; a source that grows meanwhile does not fill the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as stream:
        for block in blocks:
            size -= len(block)
            if size < 0:
                raise BundleError(f"{path}: grew while it was copied: copy the bundle again")
            stream.write(block)


def _require_files(package: Package, manifest: Manifest, source: Path) -> None:
    """Raises BundleError when a file of the package does not match the manifest."""
    for name, expected in manifest.files.items():
        digest = hashlib.sha256()
        for block in package.blocks(name):
            digest.update(block)
        if digest.hexdigest() != expected:
            raise BundleError(f"{source}: {name} is not what was exported: copy the bundle again")


@contextmanager
def _telling_of_the_disk(home: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BundleError(
            f"{home}: cannot be written to ({error}); nothing was installed"
        ) from error


def _require_room(source: Path, home: Path, size: int, max_bytes: int) -> None:
    room = min(max_bytes, shutil.disk_usage(home).free)
    if size > room:
        raise BundleError(
            f"{source}: has {size / 2**20:.0f} MiB, and {home} takes at most "
            f"{room / 2**20:.0f} MiB: free some room (linewarden bundle remove)"
        )


def _require_recipes_of(active: Path, bundle: Bundle) -> None:
    """Raises BundleError when `bundle` lacks a recipe of `active`, or its artefact differs."""
    try:
        wanted = open_bundle(active, bundle.keys).recipes()
    except BundleError:
        return  # no line can start with the active version: the change makes nothing worse
    there = bundle.recipes()
    lost = {
        recipe: artefact for recipe, artefact in wanted.items() if there.get(recipe) != artefact
    }
    if lost:
        what = ", ".join(f"{recipe} through {artefact}" for recipe, artefact in lost.items())
        raise BundleError(
            f"{bundle.folder}: is not calibrated for what runs now ({what}), and such a line would "
            f"not start: linewarden calibrate {bundle.folder} --recipe RECIPE --artefact ARTEFACT "
            "--good FOLDER, or --allow-changes"
        )


def _folder_name(name: str, source: Path) -> str:
    if not re.fullmatch(r"[^./\\\0][^/\\\0]{0,99}", name):
        raise BundleError(
            f"{source}: its name {name!r} cannot be a folder; export it under another"
        )
    return name


def _target(link: Path) -> str | None:
    """Returns the version that a link points to; None when that version does not exist."""
    if not link.is_symlink() or not link.is_dir():
        return None
    return link.readlink().name


def _is_named(version: str, given: str) -> bool:
    _, _, content = version.partition("-")
    return bool(given) and (version.startswith(given) or content.startswith(given))
