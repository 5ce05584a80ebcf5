"""Inspect single images, and print one line for each.

The images take the same preprocessing, engine and thresholds as the parts on the line,
so they must have the size that the model was trained on. The command names an image
that it cannot inspect, with the reason, and goes on with the others.

It exits with 5 when an image could not be inspected, else with 10 when one was rejected
and --fail-on-reject is given.

examples:
  linewarden inspect --bundle bundles/flange parts/flange/test/scratch/*.png
  linewarden inspect --bundle bundles/flange --save pictures part.png

files:
  FOLDER/0001_NAME.overlay.jpg   the image with the outlines of zones and defect (--save);
  FOLDER/0001_NAME.mask.png      the defect, 0 or 255; numbered as the images are given
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inspection.errors import CameraError, ConfigError, FrameError
from inspection.files import write_bytes
from inspection.images import encode_jpeg, encode_png, read_frame
from inspection.inspector import Inspection, Inspector, no_verdict
from inspection.layout.alignment import Pose
from inspection.names import printable
from inspection.overlay import caption, overlay
from inspection.verdict import Cause, Verdict
from linewarden.exit_codes import REJECTED
from linewarden.options import add_inspector_arguments, open_inspector


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="image to inspect")
    parser.add_argument("--bundle", required=True, type=Path, help="bundle to inspect with")
    add_inspector_arguments(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object per image")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="folder for overlay and mask")
    parser.add_argument(
        "--fail-on-reject", action="store_true", help="exit code 10 when an image is rejected"
    )


def run(args: argparse.Namespace) -> int:
    """Inspects and reports."""
    verdicts = []
    with open_inspector(args, args.bundle) as inspector:
        for number, path in enumerate(args.images, start=1):
            inspection = _inspect(inspector, path, args.save, number)
            verdicts.append(inspection.verdict)
            print(_json_line(path, inspection) if args.json else _line(path, inspection))
    if Verdict.NO_VERDICT in verdicts:
        return CameraError.exit_code
    if args.fail_on_reject and Verdict.REJECT in verdicts:
        return REJECTED
    return 0


def _inspect(inspector: Inspector, path: Path, save: Path | None, number: int) -> Inspection:
    try:
        image = read_frame(path, inspector.bundle.manifest.preprocessing.window)
    except FrameError as error:
        return no_verdict(Cause.FRAME, str(error))
    inspection = inspector.inspect(image)
    if save is not None and inspection.verdict is not Verdict.NO_VERDICT:
        _save(save, f"{number:04d}_{path.stem}", image, inspection)
    return inspection


def _save(folder: Path, stem: str, image: npt.NDArray[np.uint8], inspection: Inspection) -> None:
    mask = inspection.native_mask(image).astype(np.uint8) * np.uint8(255)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / f"{stem}.overlay.jpg", encode_jpeg(overlay(image, inspection)))
        write_bytes(folder / f"{stem}.mask.png", encode_png(mask))
    except OSError as error:
        raise ConfigError(f"--save {folder}: cannot be written ({error.strerror})") from error


def _line(path: Path, inspection: Inspection) -> str:
    reason = f": {inspection.message}" if inspection.message else ""
    return f"{printable(path)}: {caption(inspection)}{reason}"


def _json_line(path: Path, inspection: Inspection) -> str:
    return json.dumps(
        {
            "image": printable(path),
            "verdict": inspection.verdict.value,
            "score": _finite(inspection.score),
            "threshold": _finite(inspection.thresholds.reject),
            "cause": inspection.cause.value if inspection.cause is not None else None,
            "message": inspection.message,
            "zone": inspection.zone or None,
            "pose": _pose(inspection.pose),
        }
    )


def _pose(pose: Pose | None) -> dict[str, float] | None:
    if pose is None:
        return None
    return {
        "right_px": round(pose.right_px, 2),
        "down_px": round(pose.down_px, 2),
        "clockwise_deg": round(pose.clockwise_deg, 3),
        "score": round(pose.score, 4),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
