"""Scoring images of good parts through the very artefact that will run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calibration.pixels import MapSummary, summarise_map
from edge.engine import Engine
from edge.errors import CameraError, EngineError, FrameError
from edge.images import decode_image
from edge.layout import Preparation, PreparedFrame
from edge.verdict import zone_values

_SHOWN = 5


@dataclass(frozen=True)
class GoodScore:
    """What the artefact says of one good image.

    Attributes:
        values: the raw score of the graph, or the highest value of the map in each zone.
        summaries: of the map, by zone; without zones, of the whole map as `WHOLE`.
        is_of_map: whether the score of the graph is the highest value of the whole map.
    """

    path: Path
    sha256: str
    values: tuple[float, ...]
    summaries: Mapping[int, MapSummary]
    is_of_map: bool


def score_images(
    images: Iterable[Path],
    engine: Engine,
    preparation: Preparation,
    exclude: frozenset[str] = frozenset(),
    report: Callable[[], object] = lambda: None,
) -> tuple[list[GoodScore], list[Path], list[Path]]:
    """Score images of good parts, each different content once.

    Args:
        images: image files.
        preparation: with the layout that the line will run with.
        exclude: SHA-256 of images to leave out: those that the model was fitted to.
        report: called after each file.

    Returns:
        the scores, the files left out by `exclude`, and the files that repeat another.

    Raises:
        CameraError: files that cannot be read or do not fit the model; all of them are named.
        EngineError: the artefact gives values that are not finite.
    """
    scores: dict[str, GoodScore] = {}
    excluded: list[Path] = []
    repeated: list[Path] = []
    problems: list[str] = []
    for path in images:
        report()
        try:
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            if digest in exclude:
                excluded.append(path)
            elif digest in scores:
                repeated.append(path)
            else:
                ready = preparation.prepare(decode_image(content, str(path)))
                scores[digest] = _score(path, digest, ready, engine)
        except OSError as error:
            problems.append(f"{path}: cannot be read ({error.strerror})")
        except FrameError as error:
            message = str(error)
            problems.append(message if str(path) in message else f"{path}: {message}")
    if problems:
        more = [f"... and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        title = f"{len(problems)} images cannot be used for calibration:"
        raise CameraError("\n  ".join([title, *problems[:_SHOWN], *more]))
    return list(scores.values()), excluded, repeated


def _score(path: Path, digest: str, ready: PreparedFrame, engine: Engine) -> GoodScore:
    prediction = engine.infer(ready.image[np.newaxis])
    score, anomaly_map = float(prediction.scores[0]), prediction.maps[0]
    if not (np.isfinite(score) and np.isfinite(anomaly_map).all()):
        raise EngineError(f"{path}: the artefact gives a score or map that is not finite")
    summaries = summarise_map(anomaly_map, ready.zones)
    is_of_map = bool(np.isclose(score, anomaly_map.max(), rtol=1e-3))
    values: tuple[float, ...] = (score,)
    if ready.zones is not None:
        values = zone_values(anomaly_map, ready.zones, len(summaries))
    return GoodScore(path, digest, values, summaries, is_of_map)
