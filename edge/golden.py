"""Golden frames: native frames in the bundle with what the checkpoint said of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge.bundle import Bundle, Golden
from edge.engine import Prediction
from edge.images import read_image
from edge.preprocess import preprocess

# Share of the largest expected map value by which an FP32 artefact may differ from the checkpoint:
# sums in another order give about 1e-6, another network or another resize far more than 1e-3.
FP32_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Difference:
    """How far an artefact is from the checkpoint on one frame, in raw units.

    Attributes:
        scale: largest absolute value that was expected of score and map, at least 1e-6.
    """

    name: str
    score: float
    map: float
    scale: float

    @property
    def relative(self) -> float:
        """The larger difference as a share of the scale; infinite when it is not finite."""
        worst = max(self.score, self.map)
        return worst / self.scale if np.isfinite(worst) else float("inf")

    def is_rounding(self, map_tolerance: float = FP32_TOLERANCE) -> bool:
        """Whether rounding explains it; `map_tolerance` is a share of the scale, see `Parity`."""
        limit = FP32_TOLERANCE * self.scale
        return self.score <= limit and self.map <= map_tolerance * self.scale


def compare(
    name: str, expected_score: float, expected_map: npt.NDArray[np.float32], got: Prediction
) -> Difference:
    """Difference between what was expected (score, map (H, W)) and a prediction of one frame."""
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
    """Put one golden frame into a bundle that is being written."""
    (folder / "golden").mkdir(exist_ok=True)
    golden = Golden(name=name, frame=f"golden/{name}.png", expected=f"golden/{name}.npz")
    (folder / golden.frame).write_bytes(png)
    np.savez(folder / golden.expected, score=np.float32(score), map=anomaly_map)
    return golden


@dataclass(frozen=True)
class GoldenFrame:
    """A prepared golden frame, uint8 (1, H, W, 3), and what the checkpoint said of it."""

    name: str
    image: npt.NDArray[np.uint8]
    score: float
    map: npt.NDArray[np.float32]


def golden_frames(bundle: Bundle) -> list[GoldenFrame]:
    """The golden frames of a verified bundle, prepared as on the line."""
    frames = []
    for golden in bundle.manifest.golden:
        with np.load(bundle.file(golden.expected), allow_pickle=False) as expected:
            score, anomaly_map = float(expected["score"]), expected["map"]
        native = read_image(bundle.file(golden.frame))
        image = preprocess(native, bundle.manifest.preprocessing)[np.newaxis]
        frames.append(GoldenFrame(golden.name, image, score, anomaly_map))
    return frames
