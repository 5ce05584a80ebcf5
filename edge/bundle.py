"""The model bundle: one directory (or .zip) with everything a device needs to inspect parts.

::

    manifest.json            what the model is, and the SHA-256 of every file below
    model.onnx               the fused FP32 graph, the reference artefact
    model.<precision>.onnx   artefacts of lower precision that keep the verdicts; see `Artefact`
    golden/<n>.png, .npz     native frames with the scores and maps the checkpoint gave them
    training.json            the training images by hash, so that calibration can leave them out
    engines/<device>/<precision>/   a TensorRT plan with its sidecar; see `edge.engine.sidecar`
    calibration/<recipe>.json   thresholds, bound to the SHA-256 of the artefact they came through
    calibration/history/<recipe>/<UTC time>.json   the calibrations that it replaced

`manifest.json` covers the files that export writes. Engines and calibrations are added on the
device later: they name the artefact they belong to. All carry a seal over their own content.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from edge.calibrated import Calibration
from edge.engine.sidecar import ENGINES_FOLDER, Sidecar, verified_plan
from edge.errors import BundleError
from edge.files import sha256_of, write_bytes, write_text
from edge.preprocess import Preprocessing
from edge.sealed import Sealed, Sha256, Strict, read_sealed

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
REFERENCE_ARTEFACT = "model.onnx"
TRAINING_RECORD = "training.json"
CALIBRATION_FOLDER = "calibration"
HISTORY_FOLDER = "history"


class GraphIO(Strict):
    """Input size of the fused graph; its contract is fixed otherwise (see `edge.engine`)."""

    height: int
    width: int


class Golden(Strict):
    """A native frame with what the checkpoint said of it.

    Attributes:
        frame: file name of the PNG in the bundle.
        expected: file name of the .npz with `score` () and `map` (H, W), float32.
    """

    name: str
    frame: str
    expected: str


class Parity(Strict):
    """Largest difference between checkpoint and artefact over the frames compared at export.

    Attributes:
        score: absolute difference of the raw score.
        map: absolute difference of the anomaly map.
        score_range: spread (max - min) of the checkpoint's scores, the unit to judge the rest by.
        verdict_flips: frames whose verdict differs at `threshold`.
        threshold: the highest checkpoint score of a good frame that was held out of training.
        map_tolerance: share of the largest map value by which the FP32 map may differ; larger for a
            model whose map jumps, so that rounding can put a frame on the other side.
    """

    frames: int
    score: float
    map: float
    score_range: float
    verdict_flips: int
    threshold: float
    map_tolerance: float = 1e-4


class Artefact(Strict):
    """A graph of lower precision, with what export measured of it.

    Attributes:
        engine: the engine it is for.
        parity: against the checkpoint, through ONNX Runtime on the CPU with every FP16 value
            rounded; None when there is no result, or none that is finite: only of a refused one.
        latency_ratio: median time over that of the FP32 graph, on the machine of the export; None
            when it was not timed there.
        remark: how it was timed, or why not; of a refused artefact, why it is not in the bundle.
        lowered_nodes: nodes that compute in the lower precision.
        fp32_nodes: nodes that could, and were kept in FP32 by measurement.
        form: how INT8 is written down; see `export.precision.int8`.
        calibrator: how the ranges of INT8 were found, on good images of the training.
    """

    precision: Literal["fp16", "int8"]
    engine: str
    parity: Parity | None
    latency_ratio: float | None
    remark: str
    lowered_nodes: int
    fp32_nodes: int
    form: str | None = None
    calibrator: str | None = None


class Manifest(Sealed):
    """Identity of a bundle.

    Attributes:
        artefacts: files beside the reference artefact that an engine may run.
        refused: artefacts that were asked for and are not in the bundle: too slow, or other
            verdicts.
    """

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
    artefacts: dict[str, Artefact] = Field(default_factory=dict)
    refused: dict[str, Artefact] = Field(default_factory=dict)
    files: dict[str, Sha256]

    @model_serializer(mode="wrap")
    def _without_empty(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave empty additions out, so that the seal of an older bundle stays right."""
        content: dict[str, Any] = serialise(self)
        if self.parity.map_tolerance == Parity.model_fields["map_tolerance"].default:
            del content["parity"]["map_tolerance"]
        empty = {"artefacts", "refused"} - {key for key, value in content.items() if value}
        return {key: value for key, value in content.items() if key not in empty}


class Bundle:
    """A verified bundle on disk. Obtain one with `open_bundle`."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest

    def file(self, name: str) -> Path:
        """Path of a file the manifest lists, or of a plan that was built of one.

        Raises:
            BundleError: the manifest does not list it, or the plan is not what its sidecar says.
        """
        if self._is_engine(name):
            self._sidecar(name)
        elif name not in self.manifest.files:
            raise BundleError(
                f"{self.folder}: has no artefact {name!r}; it holds "
                f"{', '.join(sorted(self.manifest.files))}"
            )
        return self.folder / name

    def sha256(self, name: str) -> str:
        """SHA-256 of a file of the bundle; see `file`."""
        if self._is_engine(name):
            return self._sidecar(name).plan_sha256
        self.file(name)  # refuses an unknown one
        return self.manifest.files[name]

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
        calibration = read_sealed(path, Calibration, SCHEMA_VERSION, mend)
        actual = self.sha256(artefact)
        if calibration.artefact_sha256 != actual:
            raise BundleError(
                f"{path}: its thresholds were measured through {calibration.artefact} "
                f"({calibration.artefact_sha256[:12]}) and {artefact} is {actual[:12]}; thresholds "
                f"hold for the artefact they were measured through: {mend}"
            )
        return calibration

    def calibration_path(self, recipe: str) -> Path:
        """Where the thresholds of `recipe` stand."""
        _require_name(recipe)
        return self.folder / CALIBRATION_FOLDER / f"{recipe}.json"

    def history_folder(self, recipe: str) -> Path:
        """Where the calibrations stand that were active before; it may not exist yet."""
        _require_name(recipe)
        return self.folder / CALIBRATION_FOLDER / HISTORY_FOLDER / recipe

    def history_path(self, recipe: str, name: str, content: bytes) -> Path:
        """Where `content` stands in the history, or would: numbered when others have its name."""
        folder = self.history_folder(recipe)
        path, number = folder / f"{name}.json", 1
        while path.exists() and path.read_bytes() != content:
            number += 1
            path = folder / f"{name}-{number}.json"
        return path

    def add_calibration(self, calibration: Calibration) -> Path:
        """Make a calibration the active one of its recipe, atomically.

        The one it replaces goes to the history first, and the new one names it by `previous_seal`.
        """
        path = self.calibration_path(calibration.recipe)
        path.parent.mkdir(exist_ok=True)
        previous = self._keep(path, calibration.recipe) if path.exists() else None
        successor = calibration.model_copy(update={"previous_seal": previous}).sealed()
        write_text(path, successor.model_dump_json(indent=2) + "\n")
        return path

    def _keep(self, path: Path, recipe: str) -> str | None:
        """Copy the active calibration to the history; returns its seal, None when it is damaged."""
        try:
            active = read_sealed(path, Calibration, SCHEMA_VERSION, "calibrate again")
            name, seal = active.moment, active.seal
        except BundleError:
            name, seal = f"damaged-{datetime.now(timezone.utc):%Y%m%dT%H%M%S.%fZ}", None
        content = path.read_bytes()
        kept = self.history_path(recipe, name, content)
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(kept, content)
        return seal

    def origin(self, name: str) -> str:
        """The graph that an artefact is or, for an engine, was built from."""
        return self._sidecar(name).artefact if self._is_engine(name) else name

    def _is_engine(self, name: str) -> bool:
        return PurePosixPath(name).parts[:1] == (ENGINES_FOLDER,)

    def _sidecar(self, name: str) -> Sidecar:
        return verified_plan(self.folder, _safe_name(name, self.folder), self.manifest.files)


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
    manifest = read_sealed(path / MANIFEST, Manifest, SCHEMA_VERSION, mend)
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


def _require_name(recipe: str) -> None:
    if not recipe or recipe.startswith(".") or set(recipe) & set("/\\"):
        raise BundleError(
            f"the recipe {recipe!r} names a file: give a name or number without / that does not "
            "start with a dot"
        )


def _safe_name(name: str, where: Path) -> str:
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts:
        raise BundleError(f"{where}: the name {name!r} leaves the bundle; refuse this bundle")
    return name
