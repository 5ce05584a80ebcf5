"""Turn a finished run into a bundle: the one folder that goes to the devices.

Backbone and head become one fused graph, which is compared with the checkpoint
on frames at native resolution: the held-out good images, and frames made to find
a difference (constant, saturated, noise, lines one pixel wide). A bundle is only
written when every score and map agrees and no verdict flips.

examples:
  linewarden export runs/flange bundles/flange
  linewarden export runs/flange bundles/flange --replace

files:
  BUNDLE/manifest.json     what it is, and the SHA-256 of each file
  BUNDLE/model.onnx        uint8 NHWC BGR in; pred_score and anomaly_map out, raw
  BUNDLE/golden/           frames with expected results, for 'linewarden verify'

next: linewarden calibrate BUNDLE --good FOLDER
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from export.bundle import export_bundle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="folder of 'linewarden train'")
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder to write")
    parser.add_argument("--replace", action="store_true", help="take the place of an old bundle")
    parser.add_argument(
        "--dynamic-batch",
        action="store_true",
        help="also write model.dynamic.onnx with an open batch, for offline use",
    )


def run(args: argparse.Namespace) -> int:
    """Export and report."""
    bundle = export_bundle(
        args.run_folder,
        args.bundle,
        replace=args.replace,
        dynamic_batch=args.dynamic_batch,
        report=lambda message: print(message, file=sys.stderr),
    )
    manifest = bundle.manifest
    parity = manifest.parity
    print(
        f"{args.bundle}: {manifest.model}, {manifest.macs / 1e9:.2f} GMAC; checkpoint and artefact "
        f"agree on {parity.frames} frames: score within {parity.score:.1e}, map within "
        f"{parity.map:.1e}, {parity.verdict_flips} verdict flips"
    )
    return 0
