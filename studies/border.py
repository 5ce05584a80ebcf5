"""Measure the effect of reflection padding in the backbone on the border of UniAD's map.

    python -m studies.border configs/train/uniad-cpu.yaml DATA... [--set KEY=VALUE]

The study trains once with zero padding and once with reflection, everything else alike. For the
test images it prints mean and 99.9th percentile of the map of good parts on the outer ring of 16 px
over those of the interior (1 is ideal), image AUROC, pixel AUROC, and the false reject rate at the
calibrated threshold. LINEWARDEN_WEIGHTS names the weights of the backbone.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from calibration.calibrate import calibrate
from calibration.thresholds import CalibrationTargets
from export.bundle import export_bundle
from inspection.bundle import open_bundle
from inspection.inspector import Inspector
from linewarden.parser import Parser
from linewarden.training_run import fit_with_progress, load_train_config
from training.checkpoint import load_run
from training.config import TrainConfig
from training.data.layout import read_data_set
from training.evaluation import evaluate
from training.inspected import InspectedSample, inspect_samples

RING = 16  # px of the anomaly map


def main() -> None:
    parser = Parser(
        prog="python -m studies.border",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", type=Path, help="YAML file of the training")
    parser.add_argument("data", nargs="+", type=Path, metavar="DATA", help="data sets")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the training"
    )
    args = parser.parse_args()
    print("| data | padding | ring / interior, mean | 99.9 % | image AUROC | pixel AUROC | FRR |")
    print("|---|---|---|---|---|---|---|")
    for data in args.data:
        for padding in ("zeros", "reflect"):
            settings = [f"data.folder={data.resolve()}", f"model.backbone.padding={padding}"]
            config = load_train_config(args.config, [*args.set, *settings], default_weights=True)
            print(f"| {data.name} | {padding} | {measure(config)} |", flush=True)


def measure(config: TrainConfig) -> str:
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        fit_with_progress(config, folder / "run")
        export_bundle(folder / "run", folder / "bundle")
        held_out = [held.path for held in load_run(folder / "run")[0].held_out]
        calibrate(open_bundle(folder / "bundle"), held_out, CalibrationTargets(0.01))
        data_set = read_data_set(config.data.folder)
        with Inspector.open(folder / "bundle") as inspector:
            inspected = inspect_samples(inspector, data_set.test)
            figures = evaluate(inspector, data_set.name, inspected)
    assert figures.false_reject_rate is not None
    ratios = " | ".join(f"{ratio:.3f}" for ratio in border_ratios(inspected))
    auroc = f"{figures.image_auroc:.3f} | {figures.pixel_auroc:.3f}"
    return f"{ratios} | {auroc} | {figures.false_reject_rate.rate:.3f}"


def border_ratios(inspected: list[InspectedSample]) -> tuple[float, float]:
    """Returns ring over interior of the maps of good parts: means, and 99.9th percentiles."""
    good = [s.inspection.anomaly_map for s in inspected if s.sample.is_good]
    maps = np.stack([found for found in good if found is not None])
    inside = np.zeros(maps.shape[1:], dtype=np.bool_)
    inside[RING:-RING, RING:-RING] = True
    ring, interior = maps[:, ~inside], maps[:, inside]
    return (
        float(ring.mean() / interior.mean()),
        float(np.percentile(ring, 99.9) / np.percentile(interior, 99.9)),
    )


if __name__ == "__main__":
    main()
