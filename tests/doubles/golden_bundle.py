"""The tiny bundle with golden frames, which an engine must reproduce."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import numpy as np
import onnx

from inspection.bundle import Artefact, Bundle, open_bundle
from inspection.bundle.bundle import LOCK
from inspection.bundle.manifest import seal_bundle
from inspection.golden import write_golden
from inspection.images import encode_png
from inspection.opening import open_engine
from inspection.preprocess import preprocess
from tests import tiny_bundle

BRIGHTNESS = (40, 90, 200)


def build(folder: Path, *, size: int = tiny_bundle.SIZE) -> Bundle:
    """Builds a calibrated bundle for grey square frames; the last golden frame has a defect."""
    bundle = tiny_bundle.build(folder, frame=(size, size), size=size)
    calibration = bundle.calibration("default", "model.onnx")
    golden = []
    with closing(open_engine(bundle)) as engine:
        for brightness in BRIGHTNESS:
            frame = np.full((size, size), 20, np.uint8)
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


def artefact(precision: str, engine: str = "tensorrt") -> Artefact:
    """Returns the record of an artefact without measurements."""
    return Artefact.model_validate(
        {
            "precision": precision,
            "engine": engine,
            "parity": None,
            "latency_ratio": None,
            "remark": "",
            "lowered_nodes": 1,
            "fp32_nodes": 0,
        }
    )


def with_artefacts(bundle: Bundle, artefacts: Mapping[str, Artefact]) -> Bundle:
    """Returns the bundle without calibration, with copies of its graph under the names of files."""
    for name in artefacts:
        graph = onnx.load(bundle.folder / "model.onnx")
        graph.graph.name = name
        onnx.save(graph, bundle.folder / name)
    fields = bundle.manifest.model_dump(exclude={"files", "seal"})
    (bundle.folder / "manifest.json").unlink()
    bundle.calibration_path("default").unlink(missing_ok=True)
    (bundle.folder / LOCK).unlink(missing_ok=True)
    seal_bundle(bundle.folder, {**fields, "artefacts": dict(artefacts)})
    return open_bundle(bundle.folder)
