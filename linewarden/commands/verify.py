"""Check that a bundle is whole, and that its artefact gives the golden results here.

Every file is compared with the SHA-256 in the manifest. Then the golden frames,
which are stored at native resolution with the scores and maps of the checkpoint,
run through preprocessing and engine of this machine.

examples:
  linewarden verify bundles/flange
"""

from __future__ import annotations

import argparse
from pathlib import Path

from edge.bundle import REFERENCE_ARTEFACT, open_bundle
from edge.errors import EngineError
from edge.golden import FP32_TOLERANCE, check_golden
from edge.inspector import open_engine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="bundle to check")
    parser.add_argument("--engine", default="onnxruntime", help="engine to run it on")
    parser.add_argument("--artefact", default=REFERENCE_ARTEFACT, help="file of the bundle to run")


def run(args: argparse.Namespace) -> int:
    """Verify and report; EngineError when a golden frame gives another result."""
    bundle = open_bundle(args.bundle)
    print(f"{args.bundle}: {len(bundle.manifest.files)} files as exported")
    engine = open_engine(bundle, engine=args.engine, artefact=args.artefact)
    try:
        differences = list(check_golden(bundle, engine))
    finally:
        engine.close()
    for difference in differences:
        print(
            f"  {difference.name}: score differs by {difference.score:.1e}, map by "
            f"{difference.map:.1e} ({difference.relative:.1e} of the expected values)"
        )
    wrong = [d.name for d in differences if not d.relative <= FP32_TOLERANCE]
    if wrong:
        raise EngineError(
            f"{args.bundle}: {args.engine} gives other results than the checkpoint on "
            f"{', '.join(wrong)}: this machine must not inspect with it"
        )
    print(f"{len(differences)} golden frames agree")
    return 0
