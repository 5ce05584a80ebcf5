"""Files that every other runtime shares: the facts for its client, and frames to check it with.

Linewarden's daemon does three things around the graph that another runtime leaves to its client:
the resize before the graph, the thresholds behind it, and the check of both. `linewarden.json` has
the data for them, and `golden/` has frames with the expected results.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from inspection.bundle import REFERENCE_ARTEFACT, Bundle, calibrated_recipes, require_decides
from inspection.bundle.calibration_file import Calibration
from inspection.files import write_bytes, write_text
from inspection.golden import FP32_TOLERANCE
from inspection.images import encode_png, read_image
from inspection.names import plain
from inspection.preprocess import preprocess

CLIENT_RECORD = "linewarden.json"
README = "README.md"
GOLDEN_FOLDER = "golden"

PREPROCESSING_TEXT = """\
## Before the graph

The graph takes uint8 BGR at {height} x {width} (height x width) and does everything else itself:
no scaling to 0..1, no mean, no swap of channels. The client's only step is the resize, and it must
be exactly this one: another resize flips verdicts.

    from inspection.preprocess import Preprocessing, preprocess  # needs numpy, opencv, pydantic

    record = json.load(open("linewarden.json"))
    image = preprocess(frame, Preprocessing.model_validate(record["preprocessing"]))

Where the record has a `window`, the camera has 10 to 16 bits, and `frame` is what this window makes
of its uint16 pixels: `Window(**window).apply(pixels)` of `inspection.images`, which is
`(510 * (v - low) + high - low) // (2 * (high - low))` of each value v clipped to low and high.

In other languages: refuse a frame of another size, channel count or depth than the record says; cut
out `crop` where there is one; resize with OpenCV, `INTER_AREA` to the smaller of frame and target
on each axis, then `INTER_LINEAR` to the target; turn grey into three equal channels.

## Behind the graph

`pred_score` and `anomaly_map` are raw. With the thresholds of the recipe, in this order:

    score or any value of the map not finite -> NO_VERDICT, which is not a pass
    score > reject                           -> REJECT
    review is not null and score > review    -> REVIEW
    otherwise                                -> PASS

The mask is the map above `pixel` without its 8-connected regions of fewer than `minimum_area_px`.
Thresholds hold only for the artefact that they were measured through, and those of INT8 and FP16
only on that engine. `not_served` below a model in the record names the recipes that have none for
it, each with the reason; `linewarden calibrate` with the `--artefact` and the `--engine` gives them
some. Only `linewarden run` applies zones and alignment.

## Is the client right?

`golden/<name>.frame.png` is a native frame, and `golden/<name>.input.png` the result that the
resize must give, bit for bit. The record has the expected score, and the tolerance of an FP32
model; a model of lower precision must give the same verdicts.
"""


@dataclass(frozen=True)
class Options:
    """Choices of the user.

    Attributes:
        artefact: the ONNX file of the bundle.
        device: device on which Triton runs the ONNX file.
        backend: backend of Triton that runs the ONNX file.
        ir: also write OpenVINO's own format.
    """

    artefact: str = REFERENCE_ARTEFACT
    device: Literal["cpu", "gpu"] = "cpu"
    backend: Literal["onnxruntime", "python"] = "onnxruntime"
    ir: bool = False


@dataclass(frozen=True)
class Served:
    """A file of the bundle that the other runtime serves.

    Attributes:
        name: of the model there.
        engine: the runtime, in the words of `Calibration.engine`.
    """

    name: str
    artefact: str
    engine: str


class Writer(Protocol):
    """Writes the files of one runtime."""

    def __call__(self, bundle: Bundle, folder: Path, options: Options) -> list[str]:
        """Fills the empty `folder`; returns a line for the user about each file.

        Raises:
            BundleError: the bundle has no such artefact, or a changed calibration.
            EngineError: the runtime cannot run the artefact, or gives other results.
        """


def write_client_record(bundle: Bundle, folder: Path, models: Sequence[Served]) -> list[str]:
    """Writes `linewarden.json` and the golden frames.

    Returns:
        a line for the user about each recipe without thresholds for a model.
    """
    for model in models:
        require_decides(bundle, model.artefact)
    manifest = bundle.manifest
    recipes = {model.name: _recipes(bundle, model) for model in models}
    record = {
        "bundle": manifest.name,
        "manifest_seal": manifest.seal,
        "preprocessing": manifest.preprocessing.model_dump(mode="json"),
        "input": {"height": manifest.graph.height, "width": manifest.graph.width},
        "models": {
            model.name: {
                "artefact": model.artefact,
                "sha256": bundle.sha256(model.artefact),
                "recipes": recipes[model.name].served,
                "not_served": recipes[model.name].not_served,
            }
            for model in models
        },
        "golden": list(_write_golden(bundle, folder)),
    }
    write_text(folder / CLIENT_RECORD, json.dumps(record, indent=2) + "\n")
    return [
        f"{name}: no thresholds for recipe {recipe!r}: {reason}"
        for name, found in recipes.items()
        for recipe, reason in found.not_served.items()
    ]


def preprocessing_text(bundle: Bundle) -> str:
    """Returns the part of a README that is the same for all runtimes."""
    graph = bundle.manifest.graph
    return PREPROCESSING_TEXT.format(height=graph.height, width=graph.width)


class _Recipes(NamedTuple):
    """The recipes of a served model: thresholds, or the reason why there are none."""

    served: dict[str, dict[str, Any]]
    not_served: dict[str, str]


def _recipes(bundle: Bundle, model: Served) -> _Recipes:
    found = _Recipes({}, {})
    for recipe in calibrated_recipes(bundle.folder):
        mend = f"linewarden calibrate {bundle.folder} --recipe {recipe} --good FOLDER"
        calibration = bundle.read_calibration(bundle.calibration_path(recipe), mend)
        reason = _reason_against(bundle, calibration, model)
        if reason:
            found.not_served[recipe] = reason
        else:
            found.served[recipe] = _thresholds(calibration)
    return found


def _reason_against(bundle: Bundle, calibration: Calibration, model: Served) -> str:
    """Returns why the thresholds of a calibration do not hold for a model; empty when they do."""
    if calibration.artefact_sha256 not in bundle.same_as(model.artefact):
        return f"they were measured through {calibration.artefact}"
    if not calibration.fits_engine(model.engine):
        return (
            f"they were measured on {calibration.engine}, and {model.engine} rounds "
            f"{calibration.artefact} otherwise"
        )
    if calibration.layout is not None:
        return "it has zones or alignment, which only linewarden run applies"
    return ""


def _thresholds(calibration: Calibration) -> dict[str, Any]:
    limits = calibration.thresholds
    return {
        "reject": limits.reject,
        "review": limits.review,
        "pixel": limits.pixel,
        "minimum_area_px": limits.minimum_area_px,
        "false_reject_rate_bound": calibration.false_reject_rate_bound,
        "confidence": calibration.confidence,
        "calibration_seal": calibration.seal,
    }


def _write_golden(bundle: Bundle, folder: Path) -> Iterator[dict[str, Any]]:
    (folder / GOLDEN_FOLDER).mkdir()
    for golden in bundle.manifest.golden:
        frame = read_image(bundle.file(golden.frame))
        native = f"{GOLDEN_FOLDER}/{plain(golden.name)}.frame.png"
        prepared = f"{GOLDEN_FOLDER}/{plain(golden.name)}.input.png"
        write_bytes(folder / native, bundle.file(golden.frame).read_bytes())
        image = preprocess(frame, bundle.manifest.preprocessing)
        write_bytes(folder / prepared, encode_png(image))
        with np.load(bundle.file(golden.expected), allow_pickle=False) as expected:
            score, largest = float(expected["score"]), float(np.abs(expected["map"]).max())
        yield {
            "frame": native,
            "input": prepared,
            "score": score,
            "tolerance": FP32_TOLERANCE * max(abs(score), largest),
        }
