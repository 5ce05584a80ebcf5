"""Describes a bundle: the models behind `manifest.json`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from inspection.engine.sidecar import ENGINES_FOLDER
from inspection.errors import BundleError
from inspection.files import sha256_of, write_text
from inspection.preprocess import Preprocessing
from inspection.trust.sealed import Sealed, Sha256, Strict, parse_sealed
from inspection.trust.signature import SIGNATURE

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
CALIBRATION_FOLDER = "calibration"
MEND = "copy the bundle again, or export it again"


class GraphIO(Strict):
    """Input size of the fused graph; `inspection.engine` fixes the rest of its contract."""

    height: int
    width: int


class Golden(Strict):
    """A native frame with the checkpoint's result.

    Attributes:
        frame: file name of the PNG in the bundle.
        expected: file name of the .npz with `score` () and `map` (H, W), float32.
    """

    name: str
    frame: str
    expected: str


class Parity(Strict):
    """Largest differences between checkpoint and artefact over the frames compared at export.

    Attributes:
        score: absolute difference of the raw score.
        map: absolute difference of the anomaly map.
        score_range: spread (max - min) of the checkpoint's scores, a scale for the differences.
        verdict_flips: frames whose verdict differs at `threshold`.
        threshold: highest checkpoint score of a good frame that was held out of training.
        map_tolerance: share of the largest map value by which the FP32 map may differ; larger for a
            model whose map jumps, because rounding can move a frame across such a jump.
    """

    frames: int
    score: float
    map: float
    score_range: float
    verdict_flips: int
    threshold: float
    map_tolerance: float = 1e-4


class Artefact(Strict):
    """A graph of lower precision, or a portable plan, with the measurements of the export.

    Attributes:
        engine: name of the engine that runs it.
        parity: difference from the checkpoint, through ONNX Runtime on the CPU with every FP16
            value rounded; None when a refused artefact gave no finite result.
        latency_ratio: median time divided by that of the FP32 graph, on the machine of the export;
            None when export did not time it.
        remark: the way of timing, or the reason against it; for a refused artefact, the reason of
            the refusal.
        lowered_nodes: number of nodes that compute in the lower precision.
        fp32_nodes: number of nodes that measurement kept in FP32.
        form: representation of INT8 in the graph; see `export.precision.int8`.
        calibrator: method that found the INT8 ranges, on good training images.
    """

    precision: Literal["fp32", "fp16", "int8"]
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
        artefacts: files that an engine may run besides the reference artefact.
        refused: requested artefacts that export left out: too slow, or with other verdicts.
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
        """Leaves out empty later additions, so that the seal of an older bundle stays valid."""
        content: dict[str, Any] = serialise(self)
        if self.parity.map_tolerance == Parity.model_fields["map_tolerance"].default:
            del content["parity"]["map_tolerance"]
        empty = {"artefacts", "refused"} - {key for key, value in content.items() if value}
        return {key: value for key, value in content.items() if key not in empty}


def parse_manifest(content: bytes, where: Path) -> Manifest:
    """Parses the manifest of the bundle `where`.

    Raises:
        BundleError: the content is not a manifest, was changed, or names a file that export does
            not write.
    """
    manifest = parse_sealed(content, where / MANIFEST, Manifest, SCHEMA_VERSION, MEND)
    for name in manifest.files:
        first = PurePosixPath(safe_name(name, where)).parts[:1]
        if first in {(ENGINES_FOLDER,), (CALIBRATION_FOLDER,), (SIGNATURE,), (MANIFEST,)}:
            raise BundleError(
                f"{where}: its manifest names {name}, which export never writes; do not use this "
                "bundle"
            )
    return manifest


def seal_bundle(folder: Path, fields: Mapping[str, Any]) -> Manifest:
    """Hashes all files in `folder` and writes the manifest over them.

    Args:
        folder: the bundle, complete except for the manifest.
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


def safe_name(name: str, where: Path) -> str:
    """Returns `name`; raises BundleError when it leaves the bundle `where`."""
    parts = PurePosixPath(name)
    if not parts.parts or parts.is_absolute() or ".." in parts.parts:
        raise BundleError(f"{where}: the name {name!r} leaves the bundle; do not use this bundle")
    return name
