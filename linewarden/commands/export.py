"""Turn a finished run into a bundle: the one folder that goes to the devices.

Backbone and head become one fused graph. The command compares it with the checkpoint
on frames at native resolution: the held-out good images, and frames made to find a
difference (constant, saturated, noise, lines one pixel wide). It writes a bundle only
when every score and map agrees and no verdict flips. The graph of --dynamic-batch runs
the same frames, one and three at a time.

--precision adds artefacts of lower precision. Measurement decides which nodes stay in
FP32: no verdict may flip on the same frames. The command leaves out an artefact that
flips verdicts or, where it can be timed here, is not faster; the manifest has the
figures. INT8 for a processor may flip verdicts: it then is for 'linewarden build' alone,
which lets it pass clearly good parts before FP32, and no other command runs it. The good
images of the training calibrate INT8.

examples:
  linewarden export runs/flange bundles/flange
  linewarden export runs/flange bundles/flange --replace
  linewarden export runs/flange bundles/flange --precision fp16 int8

files:
  BUNDLE/manifest.json     description, and the SHA-256 of each file
  BUNDLE/model.onnx        uint8 NHWC BGR in; pred_score and anomaly_map out, raw
  BUNDLE/model.openvino.onnx           FP32 as OpenVINO wants it, where that is faster here
  BUNDLE/model.fp16.onnx   FP16 for TensorRT, in FP32 where FP16 moves scores
  BUNDLE/model.int8.tensorrt.onnx      Q/DQ as TensorRT wants it
  BUNDLE/model.int8.onnxruntime.onnx   INT8 in the form that is fast on this CPU
  BUNDLE/model.int8.openvino.onnx      Q/DQ as OpenVINO wants it
  BUNDLE/golden/           frames with expected results, for 'linewarden verify'

next: linewarden calibrate BUNDLE --good FOLDER
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from export.bundle import Contents, export_bundle
from export.precision.select import PRECISIONS
from inspection.bundle import Artefact


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="folder of 'linewarden train'")
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder to write")
    parser.add_argument("--replace", action="store_true", help="replace an old bundle")
    parser.add_argument(
        "--dynamic-batch",
        action="store_true",
        help="also write model.dynamic.onnx with an open batch, for offline use",
    )
    parser.add_argument(
        "--precision",
        nargs="+",
        choices=PRECISIONS,
        default=["fp32"],
        help="artefacts to make besides FP32 (default: none)",
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="FOLDER",
        help="folder of the good images of the training, for int8 (default: the data set)",
    )


def run(args: argparse.Namespace) -> int:
    """Exports and reports."""
    bundle = export_bundle(
        args.run_folder,
        args.bundle,
        Contents(
            precisions=args.precision,
            calibration=args.calibration,
            dynamic_batch=args.dynamic_batch,
        ),
        replace=args.replace,
        report=lambda message: print(message, file=sys.stderr),
    )
    manifest = bundle.manifest
    parity = manifest.parity
    print(
        f"{args.bundle}: {manifest.model}, {manifest.macs / 1e9:.2f} GMAC; checkpoint and artefact "
        f"agree on {parity.frames} frames: score within {parity.score:.1e}, map within "
        f"{parity.map:.1e}, {parity.verdict_flips} verdict flips"
    )
    for name, artefact in manifest.artefacts.items():
        print(f"  {name}: {describe(artefact)}; {artefact.remark}")
    for name, artefact in manifest.refused.items():
        print(f"  {name}: not offered, {artefact.remark} ({describe(artefact)})")
    print(f"next: linewarden calibrate {args.bundle} --good FOLDER", file=sys.stderr)
    return 0


def describe(artefact: Artefact) -> str:
    """Returns the figures of an artefact from its export."""
    of = artefact.lowered_nodes + artefact.fp32_nodes
    nodes = f"{artefact.lowered_nodes} of {of} nodes in {artefact.precision}"
    words = [nodes if of or artefact.form is None else artefact.form]
    if artefact.calibrator is not None:
        words.append(f"{artefact.form}, {artefact.calibrator}")
    if artefact.parity is not None:
        share = artefact.parity.score / max(artefact.parity.score_range, 1e-12)
        words.append(f"{artefact.parity.verdict_flips} verdict flips, score within {share:.2%}")
    if artefact.latency_ratio is not None:
        words.append(f"{artefact.latency_ratio:.2f} x the time of FP32")
    return ", ".join(words)
