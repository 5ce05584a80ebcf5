"""The model bundle: one directory (or .zip) with everything a device needs to inspect parts.

::

    manifest.json            what the model is, and the SHA-256 of every file below
    model.onnx               the fused FP32 graph, the reference artefact
    golden/<n>.png, .npz     native frames with the scores and maps the checkpoint gave them
    training.json            the training images by hash, so that calibration can leave them out
    calibration/<recipe>.json   thresholds, bound to the SHA-256 of the artefact they came through

`manifest.json` covers the files that export writes. A calibration is added on the device later: it
names the artefact it belongs to. Both carry a seal over their own content.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.errors import BundleError
from edge.files import sha256_of, write_text
from edge.preprocess import Preprocessing
from edge.verdict import Thresholds

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
REFERENCE_ARTEFACT = "model.onnx"
TRAINING_RECORD = "training.json"
CALIBRATION_FOLDER = "calibration"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
SealedModel = TypeVar("SealedModel", bound="_Sealed")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class _Sealed(_Strict):
    """A record that carries the SHA-256 over its other fields.

    The seal finds damage and hasty edits; a signature is what protects against intent.
    """

    seal: str = ""

    def sealed(self: SealedModel) -> SealedModel:
        """A copy whose seal is right."""
        return self.model_copy(update={"seal": self._digest()})

    def is_intact(self) -> bool:
        """Whether the seal fits the content."""
        return self.seal == self._digest()

    def _digest(self) -> str:
        content = json.dumps(self.model_dump(mode="json", exclude={"seal"}), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()


class GraphIO(_Strict):
    """Input size of the fused graph; its contract is fixed otherwise (see `edge.engine`)."""

    height: int
    width: int


class Golden(_Strict):
    """A native frame with what the checkpoint said of it.

    Attributes:
        frame: file name of the PNG in the bundle.
        expected: file name of the .npz with `score` () and `map` (H, W), float32.
    """

    name: str
    frame: str
    expected: str


class Parity(_Strict):
    """Largest difference between checkpoint and artefact over the frames compared at export.

    Attributes:
        score: absolute difference of the raw score.
        map: absolute difference of the anomaly map.
        score_range: spread (max - min) of the checkpoint's scores, the unit to judge the rest by.
        verdict_flips: frames whose verdict differs at `threshold`.
        threshold: the highest checkpoint score of a good frame that was held out of training.
    """

    frames: int
    score: float
    map: float
    score_range: float
    verdict_flips: int
    threshold: float


class Manifest(_Sealed):
    """Identity of a bundle."""

    schema_version: Literal[1] = 1
    name: str
    created_utc: str
    linewarden_version: str
    model: str
    model_config_values: dict[str, Any]
    backbone: str | None
    weights_sha256: Sha256
    data_sha256: Sha256
    preprocessing: Preprocessing
    graph: GraphIO
    macs: int
    parity: Parity
    golden: tuple[Golden, ...]
    files: dict[str, Sha256]


class Calibration(_Sealed):
    """Thresholds of one recipe with the evidence they rest on; see `calibration.threshold`.

    Attributes:
        artefact: file in the bundle through which the scores were measured, and its hash.
        false_reject_rate_target: what was asked for.
        false_reject_rate_bound: upper bound of the false reject rate of independent good parts
            that these scores support at `confidence`; it is above the target when there were too
            few.
        scores: the raw scores of the good images, by image hash.
    """

    schema_version: Literal[1] = 1
    recipe: str
    created_utc: str
    artefact: str
    artefact_sha256: Sha256
    false_reject_rate_target: float
    confidence: float
    false_reject_rate_bound: float
    threshold_score: float
    threshold_pixel: float
    threshold_review: float | None = None
    scores: dict[Sha256, float]

    def thresholds(self) -> Thresholds:
        """The limits for `edge.verdict.decide`."""
        return Thresholds(self.threshold_score, self.threshold_pixel, self.threshold_review)


class Bundle:
    """A verified bundle on disk. Obtain one with `open_bundle`."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest

    def file(self, name: str) -> Path:
        """Path of a file the manifest lists; BundleError when it does not."""
        if name not in self.manifest.files:
            raise BundleError(
                f"{self.folder}: has no artefact {name!r}; it holds "
                f"{', '.join(sorted(self.manifest.files))}"
            )
        return self.folder / name

    def trained_on(self) -> frozenset[str]:
        """SHA-256 of every image file the model was trained on."""
        return frozenset(json.loads(self.file(TRAINING_RECORD).read_text())["images_sha256"])

    def calibration(self, recipe: str, artefact: str) -> Calibration:
        """The thresholds of `recipe`, refused unless they were measured through `artefact`.

        Raises:
            BundleError: there is none, it was changed, or it belongs to another artefact.
        """
        path = self.calibration_path(recipe)
        mend = f"linewarden calibrate {self.folder} --recipe {recipe} --good FOLDER"
        if not path.is_file():
            raise BundleError(f"{self.folder}: recipe {recipe!r} is not calibrated: {mend}")
        calibration = _read_sealed(path, Calibration, mend)
        self.file(artefact)  # refuses an unknown one
        actual = self.manifest.files[artefact]
        if calibration.artefact_sha256 != actual:
            raise BundleError(
                f"{path}: its thresholds were measured through {calibration.artefact} "
                f"({calibration.artefact_sha256[:12]}) and {artefact} is {actual[:12]}; thresholds "
                f"hold for the artefact they were measured through: {mend}"
            )
        return calibration

    def calibration_path(self, recipe: str) -> Path:
        """Where the thresholds of `recipe` stand."""
        return self.folder / CALIBRATION_FOLDER / f"{recipe}.json"

    def add_calibration(self, calibration: Calibration) -> Path:
        """Write a calibration into the bundle, atomically; it replaces one of the same recipe."""
        path = self.calibration_path(calibration.recipe)
        path.parent.mkdir(exist_ok=True)
        write_text(path, calibration.sealed().model_dump_json(indent=2) + "\n")
        return path


def open_bundle(path: Path) -> Bundle:
    """Open a bundle directory and verify every file against the manifest.

    Raises:
        BundleError: it is missing, incomplete or changed; the message names the file.
    """
    if path.is_file() and zipfile.is_zipfile(path):
        raise BundleError(f"{path}: is packed; unpack it first: unzip {path} -d FOLDER")
    if not path.is_dir():
        raise BundleError(f"{path}: no such bundle; make one with: linewarden export RUN {path}")
    mend = "copy the bundle again, or export it again"
    manifest = _read_sealed(path / MANIFEST, Manifest, mend)
    for name, expected in manifest.files.items():
        file = path / _safe_name(name, path)
        if not file.is_file():
            raise BundleError(f"{path}: {name} is missing: {mend}")
        actual = sha256_of(file)
        if actual != expected:
            raise BundleError(
                f"{path}: {name} is not what was exported (SHA-256 {actual[:12]}, the manifest "
                f"says {expected[:12]}): {mend}"
            )
    return Bundle(path, manifest)


def seal_bundle(folder: Path, fields: Mapping[str, Any]) -> Manifest:
    """Hash all files in `folder` and write the manifest over them.

    Args:
        folder: the bundle being written, complete but for the manifest.
        fields: every field of `Manifest` except `files`.
    """
    files = {
        path.relative_to(folder).as_posix(): sha256_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    manifest = Manifest(**fields, files=files).sealed()
    write_text(folder / MANIFEST, manifest.model_dump_json(indent=2) + "\n")
    return manifest


def _read_sealed(path: Path, model: type[SealedModel], mend: str) -> SealedModel:
    name = model.__name__.lower()
    try:
        record = model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}): {mend}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleError(
            f"{path}: is not a {name} of schema {SCHEMA_VERSION} ({where}: {first['msg']}): {mend}"
        ) from error
    if not record.is_intact():
        raise BundleError(f"{path}: the {name} was changed after it was written: {mend}")
    return record


def _safe_name(name: str, where: Path) -> str:
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts:
        raise BundleError(f"{where}: the name {name!r} leaves the bundle; refuse this bundle")
    return name
