"""Measure the promises of calibration and the delay of drift alarms on real images.

    python -m studies.calibration --out docs/measured/calibration.md BUNDLE=DATA ...

DATA is a data set in MVTec AD layout, BUNDLE a model that trained on few of its good images. The
study scores all others once through the bundle, as they are and changed step by step; then it draws
from them again and again. It keeps the measurements beside the bundle, so that a stopped study
continues, and writes the report of a calibration on all these images there too.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path

import numpy as np
from tqdm import tqdm

from calibration.calibrate import calibrate
from calibration.report import write_calibration_report
from calibration.thresholds import CalibrationTargets
from inspection.bundle import Bundle, open_bundle
from inspection.drift.frame_figures import frame_figures, reference_from
from inspection.engine import Engine
from inspection.files import write_text
from inspection.images import list_images, read_image
from inspection.inspector import Inspector
from inspection.opening import open_engine
from inspection.preprocess import preprocess
from linewarden.parser import Parser
from studies.calibration_trials.changes import AS_IS, CHANGES, Image
from studies.calibration_trials.drift import drift_tables
from studies.calibration_trials.measured import Measured, Part
from studies.calibration_trials.order import order_table
from studies.calibration_trials.promise import promise_tables
from studies.pages.sections import write_page

CHANGED_IMAGES = 100
# The groups within which the images of a data set are more alike.
GROUPS = {
    "ball_screw": ("place on the screw", r"_(\d+_\d+)_crop"),
    "kolektorsdd": ("commutator", r"^(kos\d+)_"),
}
HEAD = """\
# What calibration promises, and what drift alarms find

Made by `make calibration-study` on {date:%Y-%m-%d}, ONNX Runtime on {cores} shared CPU cores; no
figure is a time.

Each model (SuperSimpleNet, resnet18, 256x256) trained on a fifth of the good training images. The
study scores all other good images, of training and test folders, once through the exported bundle:

| data set | good images scored | groups |
|---|---|---|
{sets}

Cookies (45 good images in all) and hazelnut_toy (34) are too few to train a model, to calibrate and
to measure; kolektorsdd is too small for n = 200.

For a line: the promise holds for parts like those of the calibration, and breaks for parts that the
calibration has not seen, such as other groups and later days. Calibrate on parts of many days,
tools and lots rather than on many parts of one, and treat a drift alarm as its end. A drift
baseline takes at least 30 good parts; with 100, false alarms are as rare as intended.

"""


def main() -> None:
    parser = Parser(
        prog="python -m studies.calibration",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("pairs", nargs="+", metavar="BUNDLE=DATA")
    parser.add_argument("--out", required=True, type=Path, help="Markdown to write")
    args = parser.parse_args()
    logging.disable(logging.WARNING)  # drift alarms
    measured = []
    for pair in args.pairs:
        bundle, _, data = pair.partition("=")
        measured.append(measured_once(Path(bundle), Path(data)))
    sets = "\n".join(
        f"| {one.data_set} | {len(one.parts)} | {len(one.groups)}, by {one.group_kind} |"
        for one in measured
    )
    page = HEAD.format(date=datetime.now(timezone.utc), cores=os.cpu_count(), sets=sets)
    page += promise_tables(measured) + order_table(measured) + drift_tables(measured)
    write_page(args.out, page)
    print(page)


def measured_once(folder: Path, data: Path) -> Measured:
    """Measures the images of a data set through a bundle, unless an earlier call has."""
    kept = folder.parent / "measured.json"
    if not kept.exists():
        bundle = open_bundle(folder)
        images = unseen(bundle, [data / "train" / "good", data / "test" / "good"])
        write_report(bundle, images, folder.parent / "calibration.html")
        with closing(open_engine(bundle)) as engine:
            found = measure(bundle, engine, data.name, images)
        write_text(kept, found.model_dump_json(indent=1) + "\n")
    return Measured.model_validate_json(kept.read_bytes())


def unseen(bundle: Bundle, folders: Sequence[Path]) -> list[Path]:
    """Returns the images that were not in the training, each content once."""
    fitted = bundle.trained_on()
    images = {
        sha256(path.read_bytes()).hexdigest(): path
        for folder in folders
        for path in list_images(folder, print)
    }
    return [path for digest, path in images.items() if digest not in fitted]


def write_report(bundle: Bundle, images: Sequence[Path], path: Path) -> None:
    """Calibrates with all images, and writes the report."""
    result = calibrate(bundle, images, CalibrationTargets(0.01), reason="study")
    with Inspector.open(bundle) as inspector:
        write_calibration_report(path, result, inspector)


def measure(bundle: Bundle, engine: Engine, data_set: str, images: Sequence[Path]) -> Measured:
    """Returns scores and figures of all images as they are, and of some after each change."""
    group_kind, pattern = GROUPS[data_set]
    reference = reference_from(read_image(images[0]))
    some = set(
        np.linspace(0, len(images) - 1, min(CHANGED_IMAGES, len(images))).round().astype(int)
    )

    def figures(image: Image) -> dict[str, float]:
        prepared = preprocess(image, bundle.manifest.preprocessing)[np.newaxis]
        score = float(engine.infer(prepared).scores[0])
        return {**frame_figures(image, reference), "score": score}

    parts = []
    for number, path in enumerate(tqdm(images, desc=data_set, unit="image", disable=None)):
        frame = read_image(path)
        changes = CHANGES if number in some else {AS_IS: CHANGES[AS_IS]}
        found = re.search(pattern, path.name)
        parts.append(
            Part(
                name=path.name,
                group=found[1] if found else path.name,
                is_test=path.parent.parent.name == "test",
                figures={name: figures(change(frame)) for name, change in changes.items()},
            )
        )
    return Measured(data_set=data_set, group_kind=group_kind, parts=tuple(parts))


if __name__ == "__main__":
    main()
