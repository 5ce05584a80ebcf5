"""Opens a model bundle: one directory (or .zip) with everything a device needs to inspect parts.

::

    manifest.json            identity of the model, and the SHA-256 of every file below
    model.onnx               the fused FP32 graph, the reference artefact
    model.<precision>.onnx   artefacts of lower precision that keep the verdicts; see `Artefact`
    model.<precision>.rtx.plan   engines for RTX cards; see `inspection.engine.portable`
    golden/<n>.png, .npz     native frames with the checkpoint's scores and maps
    training.json            hashes of the training images, so that calibration can leave them out
    signature                over manifest and calibrations; see `inspection.trust.signature`
    engines/<device>/<precision>/   a TensorRT plan; see `inspection.engine.sidecar`
    engines/<processor>/<precision>/   choice for a processor; see `inspection.engine.cpu_record`
    calibration/<recipe>.json   thresholds, bound to the SHA-256 of the artefact behind them
    calibration/history/<recipe>/<UTC time>.json   earlier calibrations of the recipe

`manifest.json` covers the files that export writes. The device adds engines and calibrations later;
each names its artefact. All carry a seal over their content, and a machine with keys accepts only
files that its keys authenticate; see `inspection.trust.keys`.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath

from inspection.bundle.calibration_file import Calibration
from inspection.bundle.manifest import (
    CALIBRATION_FOLDER,
    MANIFEST,
    MAX_MANIFEST_BYTES,
    MEND,
    Manifest,
    parse_manifest,
    require_size,
    safe_name,
)
from inspection.engine.cpu_record import CPU_RECORD, CpuRecord, verified_record
from inspection.engine.graph_file import GRAPH_SUFFIX, require_self_contained
from inspection.engine.sidecar import ENGINES_FOLDER, PLAN, PORTABLE, Sidecar, verified_plan
from inspection.errors import BundleError
from inspection.files import (
    LOCK_WAIT_S,
    TEMPORARY_PREFIX,
    locked,
    sha256_of,
    write_bytes,
    write_text,
)
from inspection.trust.keys import Keys, configured_keys
from inspection.trust.sealed import Sha256, Strict, parse_record, parse_sealed, read_content
from inspection.trust.signature import Statement, read_signature, verified_statement

REFERENCE_ARTEFACT = "model.onnx"
TRAINING_RECORD = "training.json"
HISTORY_FOLDER = "history"
LOCK = ".lock"


class TrainingRecord(Strict):
    """The file `training.json`: the SHA-256 of every training image file."""

    images_sha256: tuple[Sha256, ...]


class Bundle:
    """A verified bundle on disk. Obtain one with `open_bundle`.

    Attributes:
        keys: the keys that verified the bundle and that authenticate new files in it.
        statement: the verified statement of its signature; None on a machine without trusted keys.
    """

    def __init__(
        self, folder: Path, manifest: Manifest, keys: Keys, statement: Statement | None = None
    ) -> None:
        self.folder = folder
        self.manifest = manifest
        self.keys = keys
        self.statement = statement
        self._signed = {} if statement is None else statement.calibrations

    def file(self, name: str) -> Path:
        """Returns the path of a file that the manifest lists, or of a plan built from one.

        Raises:
            BundleError: the manifest does not list the file, or the plan does not match its
                sidecar.
        """
        if self.sidecar(name) is None and name not in self.manifest.files:
            raise BundleError(
                f"{self.folder}: has no artefact {name!r}; it holds "
                f"{', '.join(sorted(self.manifest.files))}"
            )
        return self.folder / name

    def bound_to(self, artefact: str) -> str:
        """Returns the artefact that thresholds through this one are bound to.

        Files in FP32 are the reference in the form that one engine is faster with, and differ from
        it by rounding only: their thresholds hold on every machine.
        """
        listed = self.manifest.artefacts.get(artefact)
        is_fp32 = listed is not None and listed.precision == "fp32"
        return REFERENCE_ARTEFACT if is_fp32 else artefact

    def same_as(self, artefact: str) -> set[str]:
        """Returns the hashes of all files that differ from an artefact by rounding only."""
        artefact = self.bound_to(artefact)
        forms = (n for n in self.manifest.artefacts if self.bound_to(n) == artefact)
        return {self.sha256(artefact), *map(self.sha256, forms)}

    def sha256(self, name: str) -> str:
        """Returns the SHA-256 of an artefact; raises like `file`."""
        sidecar = self.sidecar(name)
        if sidecar is not None:
            return sidecar.plan_sha256
        self.file(name)  # raises for an unknown name
        return self.manifest.files[name]

    def sidecar(self, name: str) -> Sidecar | None:
        """Returns the sidecar of a plan in the bundle; None when `name` is not a plan.

        Raises:
            BundleError: the plan does not match its sidecar.
        """
        path = PurePosixPath(name)
        if path.parts[:1] != (ENGINES_FOLDER,) or path.name == CPU_RECORD:
            return None
        name = safe_name(name, self.folder)
        return verified_plan(self.folder, name, self.manifest.files, self.keys)

    def cpu_record(self, name: str) -> CpuRecord:
        """Returns a record of `cpu_records`; BundleError when it is missing or was changed."""
        return verified_record(self.folder, name, self.manifest.files, self.keys)

    def trained_on(self) -> frozenset[str]:
        """Returns the SHA-256 of every training image file.

        Raises:
            BundleError: the record is missing, or is not one.
        """
        path = self.file(TRAINING_RECORD)
        record = parse_record(read_content(path, MEND), path, TrainingRecord, MEND)
        return frozenset(record.images_sha256)

    def calibration(self, recipe: str, artefact: str, engine: str = "") -> Calibration:
        """Reads the active calibration of `recipe`, measured through `artefact`.

        Args:
            engine: engine that will run it; empty does not compare it.

        Raises:
            BundleError: the calibration is missing, was changed, or belongs to another artefact or
                engine.
        """
        path = self.calibration_path(recipe)
        mend = f"linewarden calibrate {self.folder} --recipe {recipe} --good FOLDER"
        if not path.is_file():
            raise BundleError(f"{self.folder}: recipe {recipe!r} is not calibrated: {mend}")
        calibration = self.read_calibration(path, mend)
        if calibration.recipe != recipe:
            raise BundleError(
                f"{path}: is the calibration of recipe {calibration.recipe!r} and was renamed: "
                f"{mend}"
            )
        artefact = self.bound_to(artefact)
        actual = self.sha256(artefact)
        if calibration.artefact_sha256 not in self.same_as(artefact):
            raise BundleError(
                f"{path}: its thresholds were measured through {calibration.artefact} "
                f"({calibration.artefact_sha256[:12]}) and {artefact} is {actual[:12]}; thresholds "
                f"hold for the artefact they were measured through: {mend}"
            )
        if not calibration.fits_engine(engine):
            raise BundleError(
                f"{path}: its thresholds were measured through {calibration.artefact} on "
                f"{calibration.engine}, and {engine} rounds otherwise: {mend} --engine {engine} "
                f"--artefact {artefact}"
            )
        return calibration

    def rounding_engine(self, artefact: str, engine: str) -> str:
        """Returns the engine when the scores of an artefact depend on it; empty for FP32 and plans.

        Two engines round a file of lower precision at other places.
        """
        listed = self.manifest.artefacts.get(artefact)
        return engine if listed is not None and listed.precision != "fp32" else ""

    def read_calibration(self, path: Path, mend: str) -> Calibration:
        """Reads a calibration of this bundle, active or not.

        Raises:
            BundleError: the file was changed, or this machine has keys and none authenticates it.
        """
        content = read_content(path, mend)
        calibration = parse_sealed(content, path, Calibration, mend)
        if not self._is_signed(path, hashlib.sha256(content).hexdigest()):
            self.keys.require_vouched(calibration, path, mend)
        return calibration

    def _is_signed(self, path: Path, digest: str) -> bool:
        """Returns True when the signature of the bundle covers a calibration at its place.

        The owner signs the history too, and a calibration of it must not become the active one. The
        other way is right: the active one goes to the history when a calibration replaces it.
        """
        name = path.relative_to(self.folder)
        if name.parts[:2] == (CALIBRATION_FOLDER, HISTORY_FOLDER):
            return digest in self._signed.values()
        return self._signed.get(name.as_posix()) == digest

    def recipes(self) -> dict[str, str]:
        """Returns the calibrated recipes, each with the name of its artefact."""
        mend = f"linewarden calibrate {self.folder}"
        return {
            recipe: self.read_calibration(self.calibration_path(recipe), mend).artefact
            for recipe in calibrated_recipes(self.folder)
        }

    def graphs(self) -> list[str]:
        """Returns the names of the ONNX artefacts, the reference first; a portable plan is none."""
        artefacts = self.manifest.artefacts
        return [REFERENCE_ARTEFACT, *(n for n in artefacts if not n.endswith(PORTABLE))]

    def plans(self) -> list[str]:
        """Returns the names of all plans in the bundle, for this machine and others, unverified."""
        return self._built(f"[!.]*/[!.]*/{PLAN}")

    def cpu_records(self, processor: str = "[!.]*") -> list[str]:
        """Returns the names of the records of processors in the bundle, unverified.

        Args:
            processor: name of the folder of one kind; by default those of all.
        """
        return self._built(f"{processor}/[!.]*/{CPU_RECORD}")

    def _built(self, pattern: str) -> list[str]:
        files = (self.folder / ENGINES_FOLDER).glob(pattern)
        return sorted(file.relative_to(self.folder).as_posix() for file in files)

    def calibrations(self) -> list[str]:
        """Returns the file names of all calibrations, including the history."""
        files = (self.folder / CALIBRATION_FOLDER).rglob("*.json")
        names = (file.relative_to(self.folder).as_posix() for file in files)
        return sorted(name for name in names if TEMPORARY_PREFIX not in name)

    def calibration_path(self, recipe: str) -> Path:
        """Returns the path of the active calibration of `recipe`; it may not exist yet."""
        _require_name(recipe)
        return self.folder / CALIBRATION_FOLDER / f"{recipe}.json"

    def history_folder(self, recipe: str) -> Path:
        """Returns the folder of the recipe's earlier calibrations; it may not exist yet."""
        _require_name(recipe)
        return self.folder / CALIBRATION_FOLDER / HISTORY_FOLDER / recipe

    def history_path(self, recipe: str, name: str, content: bytes) -> Path:
        """Returns the path of `content` in the history; adds a number when the name is taken."""
        folder = self.history_folder(recipe)
        path, number = folder / f"{name}.json", 1
        while path.exists() and path.read_bytes() != content:
            number += 1
            path = folder / f"{name}-{number}.json"
        return path

    def active_seal(self, recipe: str) -> str:
        """Returns the seal of the active calibration; "" when there is none, or none that is whole.

        `add_calibration` takes it as `replaces`.
        """
        try:
            return self.read_calibration(self.calibration_path(recipe), "calibrate again").seal
        except BundleError:
            return ""

    def add_calibration(self, calibration: Calibration, *, replaces: str | None = None) -> Path:
        """Activates a calibration for its recipe, atomically, and returns its path.

        The replaced calibration goes to the history first; the new one refers to it in
        `previous_seal`.

        Args:
            replaces: seal of the only calibration that this one may replace, as `active_seal`
                returns it: "" replaces none that is whole. None replaces any.

        Raises:
            BundleError: another calibration than `replaces` is active, or another process holds the
                lock of the bundle for too long.
            ConfigError: this machine has trusted keys and no device key.
        """
        path = self.calibration_path(calibration.recipe)
        with self.locked():
            if replaces is not None:
                self._require_active(calibration.recipe, replaces)
            path.parent.mkdir(exist_ok=True)
            previous = self._keep(path, calibration.recipe) if path.exists() else None
            successor = calibration.model_copy(update={"previous_seal": previous})
            write_text(path, self.keys.vouched(successor).model_dump_json(indent=2) + "\n")
        return path

    @contextmanager
    def locked(self, name: str = LOCK) -> Iterator[None]:
        """Keeps other processes from writing; BundleError when one holds the lock for too long."""
        with locked(self.folder / name, str(self.folder), wait_s=LOCK_WAIT_S):
            yield

    def _require_active(self, recipe: str, seal: str) -> None:
        """Refuses when the active calibration is not the one with this seal."""
        if self.active_seal(recipe) == seal:
            return
        active = self.read_calibration(self.calibration_path(recipe), "calibrate again")
        raise BundleError(
            f"{self.folder}: recipe {recipe!r} was calibrated again in between ({active.moment}); "
            f"nothing was changed: look at that calibration (linewarden calibrations list "
            f"{self.folder}), and try again from it"
        )

    def _keep(self, path: Path, recipe: str) -> str | None:
        """Copies the active calibration to the history; returns its seal, or None when damaged."""
        try:
            active = self.read_calibration(path, "calibrate again")
            name, seal = active.moment, active.seal
        except BundleError:
            name, seal = f"damaged-{datetime.now(timezone.utc):%Y%m%dT%H%M%S.%fZ}", None
        content = path.read_bytes()
        kept = self.history_path(recipe, name, content)
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(kept, content)
        return seal


def calibrated_recipes(bundle: Path) -> list[str]:
    """Returns the names of the recipes with a calibration in a bundle, without verifying any."""
    folder = bundle / CALIBRATION_FOLDER
    return sorted(path.stem for path in folder.glob("*.json") if not path.name.startswith("."))


def open_bundle(path: Path, keys: Keys | None = None) -> Bundle:
    """Opens a bundle directory and verifies its signature, and every file against the manifest.

    Args:
        path: the directory, or a symbolic link to it. The bundle stays on the same version when the
            link moves later.
        keys: keys to verify with; None takes the keys of this machine.

    Raises:
        BundleError: the bundle is missing, incomplete or changed, or no trusted key signed it; the
            message names the file.
        ConfigError: the keys of this machine cannot be read.
    """
    if path.is_symlink():
        path = path.resolve()
    if path.is_file() and zipfile.is_zipfile(path):
        raise BundleError(f"{path}: is packed; install it first: linewarden bundle install {path}")
    if not path.is_dir():
        raise BundleError(
            f"{path}: no such bundle; make one with: linewarden teach --good FOLDER --out {path}"
        )
    keys = configured_keys() if keys is None else keys
    content = read_content(path / MANIFEST, MEND, max_bytes=MAX_MANIFEST_BYTES)
    signature = read_signature(path) if keys.trusted else None
    statement = verified_statement(signature, path, content, keys)
    manifest = parse_manifest(content, path)
    for name, expected in manifest.files.items():
        file = path / name
        if not file.is_file():
            raise BundleError(f"{path}: {name} is missing: {MEND}")
        require_size(manifest, name, file.stat().st_size, path)
        actual = sha256_of(file)
        if actual != expected:
            raise BundleError(
                f"{path}: {name} is not what was exported (SHA-256 {actual[:12]}, the manifest "
                f"says {expected[:12]}): {MEND}"
            )
        if file.suffix == GRAPH_SUFFIX:
            require_self_contained(file)
    return Bundle(path, manifest, keys, statement)


def _require_name(recipe: str) -> None:
    if not recipe or recipe.startswith(".") or set(recipe) & set("/\\"):
        raise BundleError(
            f"the recipe {recipe!r} is part of a file name: give a name or number without / that "
            "does not start with a dot"
        )
