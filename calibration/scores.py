"""Scoring images of good parts through the very artefact that will run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calibration.pixels import WHOLE, MapSummary, summarise_map
from edge.engine import Engine
from edge.errors import CameraError, EngineError, FrameError
from edge.images import decode_image
from edge.preprocess import Preprocessing, preprocess

_SHOWN = 5


@dataclass(frozen=True)
class GoodScore:
    """What the artefact says of one good image: raw score, and a summary of its map."""

    path: Path
    sha256: str
    score: float
    summary: MapSummary


def score_images(
    images: Iterable[Path],
    engine: Engine,
    preprocessing: Preprocessing,
    exclude: frozenset[str] = frozenset(),
    report: Callable[[], object] = lambda: None,
) -> tuple[list[GoodScore], list[Path], list[Path]]:
    """Score images of good parts, each different content once.

    Args:
        images: image files.
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
                frame = preprocess(decode_image(content, str(path)), preprocessing)
                scores[digest] = _score(path, digest, frame, engine)
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


def _score(
    path: Path, digest: str, image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], engine: Engine
) -> GoodScore:
    prediction = engine.infer(image[np.newaxis])
    score = float(prediction.scores[0])
    if not (np.isfinite(score) and np.isfinite(prediction.maps[0]).all()):
        raise EngineError(f"{path}: the artefact gives a score or map that is not finite")
    return GoodScore(path, digest, score, summarise_map(prediction.maps[0])[WHOLE])
