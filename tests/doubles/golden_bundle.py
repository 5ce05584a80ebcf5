"""The tiny bundle with golden frames, so that an engine of it can be judged."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np

from edge.bundle import LOCK, Bundle, open_bundle, seal_bundle
from edge.golden import write_golden
from edge.images import encode_png
from edge.inspector import open_engine
from edge.preprocess import preprocess
from tests import tiny_bundle

BRIGHTNESS = (40, 90, 200)


def build(folder: Path) -> Bundle:
    """A calibrated bundle for grey 32x32 frames with three golden ones; the last has a defect."""
    bundle = tiny_bundle.build(folder)
    calibration = bundle.calibration("default", "model.onnx")
    golden = []
    with closing(open_engine(bundle)) as engine:
        for brightness in BRIGHTNESS:
            frame = np.full((tiny_bundle.SIZE, tiny_bundle.SIZE), 20, np.uint8)
            frame[8:12, 8:12] = brightness
            image = preprocess(frame, bundle.manifest.preprocessing)
            got = engine.infer(image[np.newaxis])
            png, score = encode_png(frame), float(got.scores[0])
            golden.append(write_golden(folder, f"grey-{brightness}", png, score, got.maps[0]))
    fields = bundle.manifest.model_dump(exclude={"files", "seal", "golden"})
    (folder / "manifest.json").unlink()
    calibrations = bundle.calibration_path("default")
    calibrations.unlink()
    (folder / LOCK).unlink()
    seal_bundle(folder, {**fields, "golden": tuple(golden)})
    sealed = open_bundle(folder)
    sealed.add_calibration(calibration)
    return sealed
