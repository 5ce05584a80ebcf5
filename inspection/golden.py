"""Compares an engine with the checkpoint on the golden frames of a bundle."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inspection.bundle import Bundle
from inspection.bundle.manifest import Golden, Parity
from inspection.engine import Engine, Prediction
from inspection.engine.cpu_record import FirstStage
from inspection.engine.sidecar import AccuracyGate
from inspection.errors import BundleError, EngineError
from inspection.images import read_image
from inspection.names import plain
from inspection.preprocess import preprocess

# Share of the largest expected map value by which an FP32 artefact may differ from the checkpoint.
# Sums in another order give about 1e-6; another network or another resize gives far more than 1e-3.
FP32_TOLERANCE = 1e-4

# Another machine or engine rounds at other places, and INT8 turns that into whole steps. The
# verdicts are the measure; this limit finds an artefact that computes something else.
_SLACK = 3.0

_MAX_HEADER_BYTES = 1 << 16
# Start of an array of NumPy's format 1.0; the length of the header follows in two bytes.
_NPY = b"\x93NUMPY\x01\x00"
# zipfile raises these for a damaged archive.
_NPZ_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    EOFError,
    KeyError,
    ValueError,
    OSError,
)


@dataclass(frozen=True)
class Difference:
    """Largest differences between artefact and checkpoint on one frame, in raw units.

    Attributes:
        scale: largest absolute value of the expected score and map, at least 1e-6.
    """

    name: str
    score: float
    map: float
    scale: float

    @property
    def relative(self) -> float:
        """Returns the larger difference as a share of the scale; infinity when it is not finite."""
        worst = max(self.score, self.map)
        return worst / self.scale if np.isfinite(worst) else float("inf")

    def is_rounding(self, map_tolerance: float = FP32_TOLERANCE) -> bool:
        """Returns True when rounding explains the difference.

        Args:
            map_tolerance: allowed share of the scale, see `Parity`.
        """
        limit = FP32_TOLERANCE * self.scale
        return self.score <= limit and self.map <= map_tolerance * self.scale


def compare(
    name: str, expected_score: float, expected_map: npt.NDArray[np.float32], got: Prediction
) -> Difference:
    """Compares a prediction of one frame with the expected score and map (H, W)."""
    return Difference(
        name,
        abs(float(got.scores[0]) - expected_score),
        float(np.abs(got.maps[0] - expected_map).max()),
        max(abs(expected_score), float(np.abs(expected_map).max()), 1e-6),
    )


def write_golden(
    folder: Path,
    name: str,
    png: bytes,
    score: float,
    anomaly_map: npt.NDArray[np.float32],
) -> Golden:
    """Writes one golden frame into `folder`, a bundle before it is sealed."""
    (folder / "golden").mkdir(exist_ok=True)
    stem = f"golden/{plain(name)}"
    golden = Golden(name=name, frame=f"{stem}.png", expected=f"{stem}.npz")
    (folder / golden.frame).write_bytes(png)
    values = np.ascontiguousarray(anomaly_map, np.float32)
    np.savez(folder / golden.expected, score=np.float32(score), map=values)
    return golden


@dataclass(frozen=True)
class GoldenFrame:
    """A prepared golden frame, uint8 (1, H, W, 3), with the checkpoint's score and map (H, W)."""

    name: str
    image: npt.NDArray[np.uint8]
    score: float
    map: npt.NDArray[np.float32]


def golden_frames(bundle: Bundle) -> list[GoldenFrame]:
    """Reads the golden frames of a verified bundle and prepares them as on the line.

    Raises:
        BundleError: the expected score and map of a frame are not readable.
        FrameError: a frame is not an image, or not one that the model takes.
    """
    graph = bundle.manifest.graph
    frames = []
    for golden in bundle.manifest.golden:
        path = bundle.file(golden.expected)
        try:
            with zipfile.ZipFile(path) as archive:
                score = float(_array(archive, "score", ()))
                anomaly_map = _array(archive, "map", (graph.height, graph.width))
        except _NPZ_ERRORS as error:
            raise BundleError(
                f"{path}: is not the score and map of a golden frame ({error}); export the bundle "
                "again"
            ) from error
        native = read_image(bundle.file(golden.frame))
        image = preprocess(native, bundle.manifest.preprocessing)[np.newaxis]
        frames.append(GoldenFrame(golden.name, image, score, anomaly_map))
    return frames


def _array(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Reads a finite float32 array of the expected shape from an .npz, and nothing else.

    `numpy.load` takes the memory that the header of an array asks for, and fails in many ways on a
    damaged one. `numpy.savez` writes one form of header for one type and shape.
    """
    size = 4 * math.prod(shape)
    with archive.open(f"{name}.npy") as stream:
        content = stream.read(size + _MAX_HEADER_BYTES)
    start = len(content) - size
    header = content[: max(start, 0)]
    expected = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    if header[: len(_NPY)] != _NPY or header[len(_NPY) + 2 :].strip() != expected:
        raise ValueError(f"{name} is no float32 array of shape {shape}")
    values = np.frombuffer(content, np.float32, offset=start)
    if not np.isfinite(values).all():
        raise ValueError(f"{name} is not finite")
    return values.reshape(shape)


@dataclass(frozen=True)
class GoldenResult:
    """Result of an engine on a golden frame.

    Attributes:
        prediction: valid until the next frame.
        flipped: True when the verdict at the export's threshold differs from the checkpoint's.
    """

    frame: GoldenFrame
    prediction: Prediction
    difference: Difference
    flipped: bool


def golden_results(
    bundle: Bundle,
    engine: Engine,
    frames: Iterable[GoldenFrame],
    first: FirstStage | None = None,
) -> Iterator[GoldenResult]:
    """Runs golden frames of a bundle through an engine, one after the other.

    Args:
        first: set when the engine is this first stage of a cascade. It flips a verdict only where
            it passes a frame that the checkpoint rejects, or errs on a passed one by more than its
            margin.
    """
    threshold = bundle.manifest.parity.threshold
    for frame in frames:
        got = engine.infer(frame.image)
        difference = compare(frame.name, frame.score, frame.map, got)
        is_rejected, score = frame.score > threshold, float(got.scores[0])
        if first is None:
            flipped = is_rejected != (score > threshold)
        else:
            is_measured = frame.score <= first.margin.seen_to
            flipped = (is_rejected and score <= first.margin.limit(threshold)) or (
                is_measured and not difference.score <= first.margin.width
            )
        yield GoldenResult(frame, got, difference, flipped)


@dataclass(frozen=True)
class Allowance:
    """Largest allowed differences between artefact and checkpoint; the verdicts must be equal.

    Attributes:
        score: raw difference of the score that the artefact's precision explains; rounding may
            add to it.
        map: the same for any pixel of the map.
        map_tolerance: see `Parity`.
    """

    score: float
    map: float
    map_tolerance: float

    def covers(self, result: GoldenResult) -> bool:
        """Returns True when a result is within the limits; False when a value is not finite."""
        difference = result.difference
        return (
            not result.flipped
            and difference.score <= self.score + FP32_TOLERANCE * difference.scale
            and difference.map <= self.map + self.map_tolerance * difference.scale
        )


def allowance(bundle: Bundle, artefact: str) -> Allowance:
    """Returns the allowed differences of an artefact, from the measurements in the bundle.

    Export measured an artefact of lower precision, and the build measured a plan. The FP32 graph
    may differ by rounding only.

    Raises:
        BundleError: a plan does not match its sidecar.
    """
    sidecar = bundle.sidecar(artefact)
    record = bundle.manifest.artefacts.get(artefact)
    measured: AccuracyGate | Parity | None = None
    if sidecar is not None:
        measured = sidecar.gate
    elif record is not None:
        measured = record.parity
    return _allowance_of(bundle, measured)


def first_allowance(bundle: Bundle, first: FirstStage) -> Allowance:
    """Returns the allowed differences of a first stage, as the build measured them."""
    return _allowance_of(bundle, first.gate)


def _allowance_of(bundle: Bundle, measured: AccuracyGate | Parity | None) -> Allowance:
    score, map_ = (0.0, 0.0) if measured is None else (measured.score, measured.map)
    return Allowance(_SLACK * score, _SLACK * map_, bundle.manifest.parity.map_tolerance)


def require_golden(
    bundle: Bundle,
    artefact: str,
    engine: Engine,
    first: FirstStage | None = None,
    *,
    frames: Sequence[GoldenFrame] | None = None,
) -> None:
    """Runs the self-test of a station: the golden frames, through the engine that will inspect.

    Args:
        first: set when the engine is this first stage of a cascade.
        frames: the golden frames of the bundle; None reads them.

    Raises:
        EngineError: a frame gives another result than the checkpoint.
    """
    frames = golden_frames(bundle) if frames is None else frames
    allowed = allowance(bundle, artefact) if first is None else first_allowance(bundle, first)
    results = golden_results(bundle, engine, frames, first)
    wrong = [result.frame.name for result in results if not allowed.covers(result)]
    if wrong:
        raise EngineError(
            f"{bundle.folder}: {artefact} gives other results here than the checkpoint on the "
            f"golden frames {', '.join(wrong)}, so the line does not start; this shows the "
            f"differences: linewarden verify {bundle.folder}"
            + (f" --artefact {artefact}" if first is None else "")
        )
