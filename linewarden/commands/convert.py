"""Write the files with which another runtime serves the graph of a bundle.

triton       a model repository: the ONNX file and every TensorRT plan of the bundle,
             with configurations that warm the model up before it is ready.
deepstream   a configuration of Gst-nvinfer, with a graph that takes its planar floats.
openvino     a check that OpenVINO gives the golden scores; --ir also writes its format.
             (A line needs no conversion for OpenVINO: engine: openvino.)

Each folder has a README.md for the author of the client, linewarden.json with the
preprocessing and the thresholds, and golden frames to test the client with. The client
does the resize before the graph and the verdict after it.

examples:
  linewarden convert bundles/flange served/flange --to triton
  linewarden convert bundles/flange served/flange --to triton --device gpu
  linewarden convert bundles/flange served/flange --to triton --backend python
  linewarden convert bundles/flange served/flange --to deepstream
  linewarden convert bundles/flange served/flange --to openvino --ir
"""

from __future__ import annotations

import argparse
from pathlib import Path

from export.runtimes import RUNTIMES, Options, writer_for
from inspection.bundle import REFERENCE_ARTEFACT, open_bundle
from inspection.errors import ConfigError
from inspection.files import new_directory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="bundle to serve")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write")
    parser.add_argument("--to", required=True, choices=sorted(RUNTIMES), help="the runtime")
    parser.add_argument(
        "--artefact",
        default=REFERENCE_ARTEFACT,
        help=f"ONNX file of the bundle (default: {REFERENCE_ARTEFACT})",
    )
    parser.add_argument(
        "--device",
        choices=("cpu", "gpu"),
        help="triton: where the ONNX file runs (default: cpu)",
    )
    parser.add_argument(
        "--backend",
        choices=("onnxruntime", "python"),
        help="triton: what runs the ONNX file; python for a server without the other "
        "(default: onnxruntime)",
    )
    parser.add_argument("--ir", action="store_true", help="openvino: also write model.xml")
    parser.add_argument("--replace", action="store_true", help="replace an old folder")


def run(args: argparse.Namespace) -> int:
    """Converts and reports."""
    if args.out.exists() and not args.replace:
        raise ConfigError(f"{args.out}: exists; choose another folder, or --replace it")
    if not args.artefact.endswith(".onnx"):
        raise ConfigError(
            f"--artefact {args.artefact}: is not an ONNX file; Triton gets the plans anyway"
        )
    _require_effect("--device", "triton", args.device is not None, args.to)
    _require_effect("--backend", "triton", args.backend is not None, args.to)
    if args.backend == "python" and args.device == "gpu":
        raise ConfigError("--backend python runs on the CPU: leave out --device gpu")
    _require_effect("--ir", "openvino", args.ir, args.to)
    write = writer_for(args.to)
    bundle = open_bundle(args.bundle)
    options = Options(
        artefact=args.artefact,
        device=args.device or "cpu",
        backend=args.backend or "onnxruntime",
        ir=args.ir,
    )
    with new_directory(args.out, replace=args.replace) as folder:
        said = write(bundle, folder, options)
    print(f"{args.out}: {bundle.manifest.name} for {args.to}")
    for line in said:
        print(f"  {line}")
    return 0


def _require_effect(option: str, runtime: str, is_given: bool, to: str) -> None:
    if is_given and to != runtime:
        raise ConfigError(f"{option} works with --to {runtime} only: leave it out for {to}")
