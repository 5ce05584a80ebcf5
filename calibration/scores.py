"""Scores images of good parts through the artefact that will run on the line."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from calibration.drift import FrameSummary
from calibration.pixels import MapSummary, summarise_map
from inspection.engine import Engine, Prediction
from inspection.errors import CameraError, EngineError, FrameError, PartNotFoundError, listed
from inspection.files import sha256_of
from inspection.images import decode_frame, sha256_of_pixels
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
        part_of: names the part that an image shows. A part is left out with all of its images when
            one of them is left out as fitted: images of a part are alike. None when every image is
            another part.
    """

    fitted: frozenset[str]
    known: Mapping[str, Prediction] = field(default_factory=dict)
    without: Collection[str] = ()
    part_of: Callable[[Path], str] | None = None

    def is_fitted(self, sha256: str) -> bool:
        """Tells if an image is left out because the model was fitted to it."""
        return sha256 in self.fitted and sha256 not in self.known

    def fitted_parts(self, images: Sequence[Path]) -> frozenset[str]:
        """Returns the parts with an image that the model was fitted to."""
        if self.part_of is None or self.fitted <= self.known.keys():
            return frozenset()
        return frozenset(self.part_of(path) for path in images if self._is_fitted_file(path))

    def _is_fitted_file(self, path: Path) -> bool:
        try:
            return self.is_fitted(sha256_of(path))
        except OSError:
            return False  # `score_images` reads it again, and names it


@dataclass(frozen=True)
class ScoredImages:
    """The scores of a set of good images, in its order.

    Attributes:
        fitted: files left out because the model was fitted to them.
        fitted_parts: files left out because the model was fitted to other images of their part, by
            part.
        repeated: files left out because they repeat another, or show the same picture to the last
            pixel: a copy in another format, or the frame of a camera that hangs.
        no_verdict: files of which the line gives no verdict: it does not find the part, or the
            result is not finite.
    """

    scores: list[GoodScore]
    fitted: list[Path]
    fitted_parts: dict[str, list[Path]]
    repeated: list[Path]
    no_verdict: list[Path]


def score_images(
    images: Sequence[Path],
    engine: Engine,
    preprocessing: Preprocessing,
    layout: Layout | None,
    *,
    counted: CountedImages,
    may_lack_verdict: bool = False,
    report: Callable[[], object] = lambda: None,
) -> ScoredImages:
    """Scores images of parts, each picture once.

    Args:
        preprocessing: that of the bundle.
        layout: that of the recipe, as the line will run it.
        may_lack_verdict: true to list images without a verdict; false refuses them.
        report: called for each file.

    Raises:
        CameraError: files cannot be read or do not fit the model; the message names the first ones.
        EngineError: the artefact gives values that are not finite, and these are refused.
    """
    preparation = FramePreparer(preprocessing, layout)
    scorer = _Scorer(engine, preprocessing, preparation, counted.known, may_lack_verdict)
    part_of, learnt_parts = counted.part_of, counted.fitted_parts(images)
    scores: dict[str, GoodScore] = {}
    fitted: list[Path] = []
    fitted_parts: dict[str, list[Path]] = {}
    repeated: list[Path] = []
    no_verdict: dict[str, Path] = {}
    problems: list[str] = []
    pictures: set[str] = set()
    for path in images:
        report()
        try:
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            if digest in counted.without:
                continue
            if counted.is_fitted(digest):
                fitted.append(path)
            elif part_of is not None and (part := part_of(path)) in learnt_parts:
                fitted_parts.setdefault(part, []).append(path)
            elif (frame := scorer.frame(path, content)).picture in pictures:
                repeated.append(path)
            else:
                pictures.add(frame.picture)
                score = scorer.score(path, digest, frame.pixels)
                if score is None:
                    no_verdict[digest] = path
                else:
                    scores[digest] = score
        except (OSError, FrameError) as error:
            problems.append(_problem(path, error))
    if problems:
        title = f"{len(problems)} of {len(images)} images cannot be used:"
        raise CameraError(listed(title, problems))
    return ScoredImages(
        list(scores.values()), fitted, fitted_parts, repeated, list(no_verdict.values())
    )


class _Frame(NamedTuple):
    """A frame and the digest of its picture."""

    pixels: npt.NDArray[np.uint8]
    picture: str


@dataclass(frozen=True)
class _Scorer:
    """Scores one image; the attributes are arguments of `score_images`."""

    engine: Engine
    preprocessing: Preprocessing
    preparation: FramePreparer
    known: Mapping[str, Prediction]
    may_lack_verdict: bool

    def frame(self, path: Path, content: bytes) -> _Frame:
        """Decodes a file."""
        pixels = decode_frame(content, printable(path), self.preprocessing.window)
        return _Frame(pixels, sha256_of_pixels(pixels))

    def score(self, path: Path, digest: str, frame: npt.NDArray[np.uint8]) -> GoodScore | None:
        """Returns the score of a file; None for one without a verdict, where it may lack it."""
        try:
            ready = self.preparation.prepare(frame)
        except PartNotFoundError:
            if self.may_lack_verdict:
                return None
            raise
        prediction = self.known.get(digest) or self.engine.infer(ready.image[np.newaxis])
        if not all(np.isfinite(values).all() for values in (prediction.scores, prediction.maps)):
            if self.may_lack_verdict:
                return None
            raise EngineError(f"{path}: the artefact gives a score or a map that is not finite")
        seen = FrameSummary.of(frame, self.preprocessing.crop)
        return _score(path, digest, ready, seen, prediction)


def _problem(path: Path, error: OSError | FrameError) -> str:
    name, message = printable(path), str(error)
    if isinstance(error, OSError):
        return f"{name}: cannot be read ({error.strerror})"
    return message if name in message else f"{name}: {message}"


def _score(
    path: Path, digest: str, ready: PreparedFrame, frame: FrameSummary, prediction: Prediction
) -> GoodScore:
    score, anomaly_map = float(prediction.scores[0]), prediction.maps[0]
    summaries = summarise_map(anomaly_map, ready.zones)
    is_of_map = bool(np.isclose(score, anomaly_map.max(), rtol=1e-3))
    values: tuple[float, ...] = (score,)
    if ready.zones is not None:
        values = zone_values(anomaly_map, ready.zones, len(summaries))
    return GoodScore(path, digest, values, summaries, is_of_map, frame)
