"""Describes a bundle: the models behind `manifest.json`."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from inspection.engine.graph_file import GRAPH_SUFFIX
from inspection.engine.sidecar import ENGINES_FOLDER, PORTABLE
from inspection.errors import BundleError
from inspection.files import sha256_of, write_text
from inspection.preprocess import Preprocessing
from inspection.trust.sealed import Sealed, Sha256, Strict, parse_sealed, printable
from inspection.trust.signature import SIGNATURE

MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 16 << 20
CALIBRATION_FOLDER = "calibration"
MEND = "copy the bundle again, or export it again"

# Engines choose a reader by the suffix, and other formats have files beside them.
_SUFFIXES = frozenset({GRAPH_SUFFIX, ".png", ".npz", ".json"})
_RESERVED = frozenset({ENGINES_FOLDER, CALIBRATION_FOLDER, SIGNATURE, MANIFEST})
# Limits of file systems, in bytes.
_MAX_NAME_BYTES, _MAX_PATH_BYTES = 255, 1024
# Control characters, lone surrogates, line and paragraph separators.
_NOT_IN_NAMES = frozenset({"Cc", "Cs", "Zl", "Zp"})
# These reverse the direction of the text around them.
_OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

Side = Annotated[int, Field(ge=1, le=1 << 14)]


class GraphIO(Strict):
    """Input size of the fused graph; `inspection.engine` fixes the rest of its contract."""

    height: Side
    width: Side


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

    @property
    def decides(self) -> bool:
        """Returns False when it flipped verdicts at export: it may only go before the FP32 graph.

        See decision 12; export keeps such a file for processors alone.
        """
        return self.parity is None or self.parity.verdict_flips == 0


class Manifest(Sealed):
    """Identity of a bundle.

    Attributes:
        artefacts: files that an engine may run besides the reference artefact.
        refused: requested artefacts that export left out: too slow, or with other verdicts.
        evidence: the comparison that chose the model, as `training.evidence_record`; empty when a
            person chose it.
        sizes: bytes of each of the `files`; empty in bundles of older releases.
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
    evidence: dict[str, Any] = Field(default_factory=dict)
    files: dict[str, Sha256]
    sizes: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)

    @model_serializer(mode="wrap")
    def _without_empty(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leaves out empty later additions, so that the seal of an older bundle stays valid."""
        content: dict[str, Any] = serialise(self)
        if self.parity.map_tolerance == Parity.model_fields["map_tolerance"].default:
            del content["parity"]["map_tolerance"]
        later = {"artefacts", "refused", "evidence", "sizes"}
        empty = later - {key for key, value in content.items() if value}
        return {key: value for key, value in content.items() if key not in empty}


def parse_manifest(content: bytes, where: Path) -> Manifest:
    """Parses the manifest of the bundle `where`.

    Raises:
        BundleError: the content is not a manifest, was changed, or names a file that export does
            not write.
    """
    manifest = parse_sealed(content, where / MANIFEST, Manifest, MEND)
    for name in (manifest.name, *(golden.name for golden in manifest.golden)):
        require_readable(name, where)
    require_distinct(manifest.files, where)
    for name in manifest.files:
        path = PurePosixPath(safe_name(name, where))
        is_known = path.suffix in _SUFFIXES or path.name.endswith(PORTABLE)
        if path.parts[0] in _RESERVED or not is_known:
            raise BundleError(
                f"{where}: its manifest names {name}, which export never writes; do not use this "
                "bundle"
            )
    if manifest.sizes and manifest.sizes.keys() != manifest.files.keys():
        raise BundleError(
            f"{where}: its manifest has sizes of other files than those it names; do not use this "
            "bundle"
        )
    return manifest


def require_size(manifest: Manifest, name: str, size: int, where: Path) -> None:
    """Raises BundleError when a file of the bundle `where` has another size than its export."""
    exported = manifest.sizes.get(name, size)
    if size != exported:
        raise BundleError(
            f"{where}: {name} is not what was exported ({size} bytes, and the manifest says "
            f"{exported}): {MEND}"
        )


def seal_bundle(folder: Path, fields: Mapping[str, Any]) -> Manifest:
    """Hashes all files in `folder`, except hidden ones, and writes the manifest over them.

    Args:
        folder: the bundle, complete except for the manifest.
        fields: every field of `Manifest` except `files`.
    """
    written = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("[!.]*"))
        if path.is_file()
    }
    files = {name: sha256_of(path) for name, path in written.items()}
    sizes = {name: path.stat().st_size for name, path in written.items()}
    manifest = Manifest(**{**fields, "files": files, "sizes": sizes}).sealed()
    write_text(folder / MANIFEST, manifest.model_dump_json(indent=2) + "\n")
    return manifest


def safe_name(name: str, where: Path) -> str:
    """Returns `name`, a path in the bundle `where`.

    Raises:
        BundleError: the name leaves the bundle, is not the plain form of a path, or does not fit
            on a disk or a screen.
    """
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts:
        raise BundleError(f"{where}: the name {name!r} leaves the bundle; do not use this bundle")
    require_readable(name, where)
    longest = max(len(part.encode()) for part in path.parts)
    is_long = longest > _MAX_NAME_BYTES or len(name.encode()) > _MAX_PATH_BYTES
    if is_long or path.as_posix() != name or "\\" in name:
        raise BundleError(
            f"{where}: the name {printable(name)!r} is too long or no plain path; do not use this "
            "bundle"
        )
    return name


def require_readable(name: str, where: Path) -> None:
    """Raises BundleError when a name holds characters that move the cursor or turn the text."""
    if any(unicodedata.category(c) in _NOT_IN_NAMES or c in _OVERRIDES for c in name):
        raise BundleError(
            f"{where}: the name {name[:100]!r} holds control characters; export the bundle under "
            "another name"
        )


def require_distinct(names: Iterable[str], where: Path) -> None:
    """Raises BundleError when two names are one file on a disk that ignores their case."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name:
            raise BundleError(
                f"{where}: {other} and {name} differ in their case alone, and some disks keep one "
                "of them; do not use this bundle"
            )
