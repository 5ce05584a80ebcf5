"""Scores images of good parts through the artefact that will run on the line."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from calibration.drift import FrameSummary
from calibration.pixels import MapSummary, summarise_map
from inspection.engine import Engine, Prediction
from inspection.errors import CameraError, EngineError, FrameError, listed
from inspection.images import decode_frame
from inspection.layout import FramePreparer, Layout, PreparedFrame
from inspection.names import printable
from inspection.preprocess import Preprocessing
from inspection.verdict import zone_values


@dataclass(frozen=True)
class GoodScore:
    """The result of the artefact for one good image.

    Attributes:
        values: the raw score of the graph, or the highest value of the map in each zone.
        summaries: summaries of the map by zone; without zones, of the whole map as `WHOLE`.
        is_of_map: true when the score of the graph is the highest value of the whole map.
        frame: figures of the frame for the drift baseline, within the crop of the bundle.
    """

    path: Path
    sha256: str
    values: tuple[float, ...]
    summaries: Mapping[int, MapSummary]
    is_of_map: bool
    frame: FrameSummary


@dataclass(frozen=True)
class CountedImages:
    """The images that count, by SHA-256 of the file.

    Attributes:
        fitted: images to leave out, since the model was fitted to them.
        known: predictions that take the place of the engine's; their images count although the
            model was fitted to them.
        without: images that a person leaves out.
    """

    fitted: frozenset[str]
    known: Mapping[str, Prediction] = field(default_factory=dict)
    without: Collection[str] = ()


@dataclass(frozen=True)
class ScoredImages:
    """The scores of a set of good images, in its order.

    Attributes:
        fitted: files left out because the model was fitted to them.
        repeated: files left out because they repeat another.
    """

    scores: list[GoodScore]
    fitted: list[Path]
    repeated: list[Path]


def score_images(
    images: Sequence[Path],
    engine: Engine,
    preprocessing: Preprocessing,
    layout: Layout | None,
    *,
    counted: CountedImages,
    report: Callable[[], object] = lambda: None,
) -> ScoredImages:
    """Scores images of parts, each content once.

    Args:
        preprocessing: that of the bundle.
        layout: that of the recipe, as the line will run it.
        report: called for each file.

    Raises:
        CameraError: files cannot be read or do not fit the model; the message names the first ones.
        EngineError: the artefact gives values that are not finite.
    """
    preparation = FramePreparer(preprocessing, layout)
    scores: dict[str, GoodScore] = {}
    fitted: list[Path] = []
    repeated: list[Path] = []
    problems: list[str] = []
    for path in images:
        report()
        try:
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            if digest in counted.without:
                continue
            if digest in counted.fitted and digest not in counted.known:
                fitted.append(path)
            elif digest in scores:
                repeated.append(path)
            else:
                frame = decode_frame(content, printable(path), preprocessing.window)
                ready = preparation.prepare(frame)
                seen = FrameSummary.of(frame, preprocessing.crop)
                known = counted.known.get(digest)
                prediction = known or engine.infer(ready.image[np.newaxis])
                scores[digest] = _score(path, digest, ready, seen, prediction)
        except (OSError, FrameError) as error:
            problems.append(_problem(path, error))
    if problems:
        title = f"{len(problems)} of {len(images)} images cannot be used:"
        raise CameraError(listed(title, problems))
    return ScoredImages(list(scores.values()), fitted, repeated)


def _problem(path: Path, error: OSError | FrameError) -> str:
    name, message = printable(path), str(error)
    if isinstance(error, OSError):
        return f"{name}: cannot be read ({error.strerror})"
    return message if name in message else f"{name}: {message}"


def _score(
    path: Path, digest: str, ready: PreparedFrame, frame: FrameSummary, prediction: Prediction
) -> GoodScore:
    score, anomaly_map = float(prediction.scores[0]), prediction.maps[0]
    if not (np.isfinite(score) and np.isfinite(anomaly_map).all()):
        raise EngineError(f"{path}: the artefact gives a score or a map that is not finite")
    summaries = summarise_map(anomaly_map, ready.zones)
    is_of_map = bool(np.isclose(score, anomaly_map.max(), rtol=1e-3))
    values: tuple[float, ...] = (score,)
    if ready.zones is not None:
        values = zone_values(anomaly_map, ready.zones, len(summaries))
    return GoodScore(path, digest, values, summaries, is_of_map, frame)
