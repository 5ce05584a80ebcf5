"""Drawn parts and a bundle that judges them, for a line without a camera and without a model.

The bundle is not a model of good parts: its score is the brightest cell of the frame (mean of BGR)
over 255, so that a bright spot is a defect and everybody can compute the score by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inspection.bundle import Bundle, open_bundle
from inspection.bundle.calibration_file import Calibration
from inspection.bundle.manifest import seal_bundle
from inspection.files import sha256_of
from inspection.images import encode_png
from inspection.verdict import Thresholds

INPUT_SIDE = 32
THRESHOLD = 0.5
FRAME = (480, 640)  # height, width

_BELT, _PART, _SPOT = 60, 110, 250  # grey levels
_RADIUS, _SPOT_SIDE = 150, 60
_MADE = "2026-01-01T00:00:00Z"


def drawn_part(number: int = 0, *, is_defective: bool = False) -> npt.NDArray[np.uint8]:
    """Returns a frame (480, 640) with a round part; a defective one has a bright spot."""
    frame = empty_belt(number)
    rows, columns = np.ogrid[: FRAME[0], : FRAME[1]]
    is_part = (rows - FRAME[0] // 2) ** 2 + (columns - FRAME[1] // 2) ** 2 < _RADIUS**2
    frame[is_part] += np.uint8(_PART - _BELT)
    if is_defective:
        top, left = FRAME[0] // 2 + 10 * (number % 5), FRAME[1] // 2 - 15 * (number % 5)
        frame[top : top + _SPOT_SIDE, left : left + _SPOT_SIDE] = _SPOT
    return frame


def empty_belt(number: int = 0) -> npt.NDArray[np.uint8]:
    """Returns a frame (480, 640) of the conveyor without a part."""
    noise = np.random.default_rng(number).integers(0, 5, FRAME, dtype=np.uint8)
    return np.asarray(noise + np.uint8(_BELT), np.uint8)


def write_frames(
    folder: Path, named: Sequence[tuple[str, npt.NDArray[np.uint8]]], channels: int = 1
) -> Path:
    """Writes a recording: 000-NAME.png and so on; with 3 channels as colour images."""
    folder.mkdir(parents=True)
    for number, (name, frame) in enumerate(named):
        shown = frame if channels == 1 else np.repeat(frame[:, :, None], 3, axis=2)
        (folder / f"{number:03}-{name}.png").write_bytes(encode_png(np.ascontiguousarray(shown)))
    return folder


def graph() -> bytes:
    """Returns the graph of the score, in ONNX with opset 19."""
    return files("edge.sim").joinpath("brightness.onnx").read_bytes()


def write_bundle(
    folder: Path,
    *,
    frame: tuple[int, int] = FRAME,
    channels: int = 1,
    recipes: Sequence[str] = ("default",),
    name: str = "simulated",
    model: bytes | None = None,
    side: int = INPUT_SIDE,
) -> Bundle:
    """Writes a calibrated bundle; a cell above half brightness is a defect.

    Args:
        frame: height and width of the frames, which the bundle resizes to its input.
        channels: 1 for grey frames, 3 for BGR.
        recipes: names of the calibrations.
        model: the graph in ONNX; None for `graph`.
        side: height and width of its input.
    """
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(graph() if model is None else model)
    (folder / "training.json").write_text('{"images_sha256": []}')
    seal_bundle(folder, _manifest(frame, channels, name, side))
    bundle = open_bundle(folder)
    for recipe in recipes:
        bundle.add_calibration(
            Calibration(
                recipe=recipe,
                created_utc=_MADE,
                artefact="model.onnx",
                artefact_sha256=sha256_of(folder / "model.onnx"),
                false_reject_rate_target=0.01,
                confidence=0.95,
                false_reject_rate_bound=0.01,
                thresholds=Thresholds(THRESHOLD, THRESHOLD),
                scores={},
            )
        )
    return bundle


def _manifest(frame: tuple[int, int], channels: int, name: str, side: int) -> dict[str, Any]:
    height, width = frame
    return {
        "name": name,
        "created_utc": _MADE,
        "linewarden_version": "0",
        "model": "brightness",
        "model_config_values": {},
        "backbone": None,
        "weights_sha256": "0" * 64,
        "data_sha256": "0" * 64,
        "preprocessing": {
            "frame_height": (height, height),
            "frame_width": (width, width),
            "channels": channels,
            "height": side,
            "width": side,
        },
        "graph": {"height": side, "width": side},
        "macs": 0,
        "parity": {
            "frames": 1,
            "score": 0.0,
            "map": 0.0,
            "score_range": 1.0,
            "verdict_flips": 0,
            "threshold": THRESHOLD,
        },
        "golden": (),
    }
