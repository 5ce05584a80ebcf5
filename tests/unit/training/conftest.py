"""A model with results that one can work out by hand, and drawn parts for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from inspection.bundle import open_bundle
from inspection.bundle.calibration_file import Calibration
from inspection.bundle.manifest import seal_bundle
from inspection.engine import Prediction
from inspection.inspector import Inspector
from training.data.data_set import DataSet, Sample

FRAME, MAP = (32, 48), (16, 24)
SQUARE = (slice(8, 16), slice(16, 24))  # in the frame; everything else is black

MakeInspector = Callable[..., Inspector]
MakeDataSet = Callable[[Mapping[str, int]], DataSet]


class BrightnessEngine:
    """An engine whose anomaly map is the brightness, 0 to 1; the score is its maximum."""

    def infer(self, batch: npt.NDArray[np.uint8], deadline_ns: int | None = None) -> Prediction:
        maps = (batch[..., 0] / 255).astype(np.float32)
        return Prediction(maps.max(axis=(1, 2)), maps)

    def close(self) -> None:
        pass


@pytest.fixture
def make_inspector(tmp_path: Path) -> MakeInspector:
    """Makes an inspector that rejects above half brightness.

    Keywords: `trained_on` (hashes), `manifest` and `calibration` (fields that differ).
    """

    def make(
        *,
        trained_on: tuple[str, ...] = (),
        manifest: Mapping[str, Any] | None = None,
        calibration: Mapping[str, Any] | None = None,
    ) -> Inspector:
        folder = tmp_path / "bundle"
        folder.mkdir()
        (folder / "model.onnx").write_bytes(b"\x08\x09")  # a graph without nodes
        (folder / "training.json").write_text(json.dumps({"images_sha256": trained_on}))
        sealed = seal_bundle(folder, {**_MANIFEST, **(manifest or {})})
        fields = {"artefact_sha256": sealed.files["model.onnx"], **(calibration or {})}
        calibrated = Calibration(**{**_CALIBRATION, **fields}).sealed()
        return Inspector(open_bundle(folder), calibrated, BrightnessEngine())

    return make


@pytest.fixture
def make_data_set(tmp_path: Path) -> MakeDataSet:
    """Makes test images by name, `crack/1` for instance, with a square of the given brightness.

    Parts that are not good have the square as their ground truth.
    """

    def make(parts: Mapping[str, int]) -> DataSet:
        samples = []
        for name, brightness in parts.items():
            frame = np.zeros(FRAME, np.uint8)
            frame[SQUARE] = brightness
            path = write(tmp_path / "parts" / "test" / f"{name}.png", frame)
            mask = None
            if path.parent.name != "good":
                truth = np.zeros(FRAME, np.uint8)
                truth[SQUARE] = 255
                mask = write(tmp_path / "parts" / "ground_truth" / f"{name}_mask.png", truth)
            samples.append(Sample(path, path.parent.name, mask))
        return DataSet("parts", (), (), tuple(samples))

    return make


def write(path: Path, image: npt.NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)
    return path


_MANIFEST: dict[str, Any] = {
    "name": "tiny",
    "created_utc": "2026-01-01T00:00:00Z",
    "linewarden_version": "0",
    "model": "brightness",
    "model_config_values": {},
    "backbone": None,
    "weights_sha256": "0" * 64,
    "data_sha256": "0" * 64,
    "preprocessing": {
        "frame_height": (FRAME[0], FRAME[0]),
        "frame_width": (FRAME[1], FRAME[1]),
        "channels": 1,
        "height": MAP[0],
        "width": MAP[1],
    },
    "graph": {"height": MAP[0], "width": MAP[1]},
    "macs": 0,
    "parity": {
        "frames": 1,
        "score": 0.0,
        "map": 0.0,
        "score_range": 1.0,
        "verdict_flips": 0,
        "threshold": 0.5,
    },
    "golden": (),
}
_CALIBRATION: dict[str, Any] = {
    "recipe": "default",
    "created_utc": "2026-01-01T00:00:00Z",
    "artefact": "model.onnx",
    "false_reject_rate_target": 0.01,
    "confidence": 0.95,
    "false_reject_rate_bound": 0.01,
    "threshold_score": 0.5,
    "threshold_pixel": 0.5,
    "scores": {},
}
