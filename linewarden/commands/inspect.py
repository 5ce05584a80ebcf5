"""Inspect single images with a calibrated bundle.

One line per image goes to standard output. With --save, a picture of each image
with the defect's contour, and its mask, are written to a folder.

examples:
  linewarden inspect --bundle bundles/flange part.png
  linewarden inspect --bundle bundles/flange --save out --json parts/*.png

exit code 10 with --fail-on-reject when a part is not passed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from edge.bundle import REFERENCE_ARTEFACT
from edge.errors import CameraError, FrameError
from edge.files import write_bytes
from edge.images import encode_jpeg, encode_png, read_image
from edge.inspector import Inspection, Inspector
from edge.overlay import Image, overlay
from edge.records import finite, stage_ms
from edge.verdict import Verdict

NOT_PASSED = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="image files")
    parser.add_argument("--bundle", required=True, type=Path, help="calibrated bundle")
    parser.add_argument("--recipe", default="default", help="calibration (default: %(default)s)")
    parser.add_argument("--engine", default="onnxruntime", help="engine (default: %(default)s)")
    parser.add_argument("--artefact", default=REFERENCE_ARTEFACT, help="file of the bundle to run")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="write pictures and masks here")
    parser.add_argument("--json", action="store_true", help="one JSON object per image")
    parser.add_argument(
        "--fail-on-reject", action="store_true", help=f"exit with {NOT_PASSED} unless all pass"
    )


def run(args: argparse.Namespace) -> int:
    """Inspect each image; CameraError at the end when some could not be."""
    unusable, not_passed = 0, 0
    with Inspector.open(
        args.bundle, args.recipe, engine=args.engine, artefact=args.artefact
    ) as inspector:
        for path in args.images:
            try:
                frame = read_image(path)
            except FrameError as error:
                sys.stderr.write(f"linewarden: {error}\n")
                unusable += 1
                continue
            inspection = inspector.inspect(frame)
            unusable += inspection.verdict is Verdict.NO_VERDICT
            not_passed += inspection.verdict is not Verdict.PASS
            print(_json(path, inspection) if args.json else _line(path, inspection))
            if args.save is not None:
                save(args.save, path, frame, inspection)
    if unusable:
        raise CameraError(f"{unusable} of {len(args.images)} images could not be inspected")
    return NOT_PASSED if args.fail_on_reject and not_passed else 0


def save(folder: Path, path: Path, frame: Image, inspection: Inspection) -> None:
    """Write the picture of a part, and its mask when there is a verdict."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{path.parent.name}-{path.stem}"
    write_bytes(folder / f"{name}-overlay.jpg", encode_jpeg(overlay(frame, inspection)))
    mask = inspection.native_mask(frame).astype(np.uint8) * 255
    write_bytes(folder / f"{name}-mask.png", encode_png(mask))


def _line(path: Path, inspection: Inspection) -> str:
    score = "-" if np.isnan(inspection.score) else f"{inspection.score:.4f}"
    message = f"  {inspection.message}" if inspection.message else ""
    return f"{inspection.verdict.value:<10} {score} / {inspection.threshold:.4f}  {path}{message}"


def _json(path: Path, inspection: Inspection) -> str:
    return json.dumps(
        {
            "image": str(path),
            "verdict": inspection.verdict.value,
            "cause": inspection.cause and inspection.cause.value,
            "message": inspection.message,
            "score": finite(inspection.score),
            "threshold": inspection.threshold,
            "mask_pixels": int(inspection.mask.sum()),
            **stage_ms(inspection),
        }
    )
