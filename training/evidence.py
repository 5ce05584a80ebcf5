"""Comparison of candidates by good images that they have not learnt, and defects drawn on them.

Test images take no part. Nor do the images that are held out for the calibration: a threshold
keeps its promise only when its images did not choose the model.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch

from inspection.errors import ConfigError
from training.candidates import Candidate, Features
from training.checkpoint import build_model
from training.comparison_pictures import (
    Fold,
    Pictures,
    dealt,
    folds,
    read_pictures,
    wanted_defects,
)
from training.config import TrainConfig
from training.data.survey import SurveyedSample
from training.evidence_record import Tried
from training.first_look import backbone_s
from training.input_size import Size
from training.metrics import auroc
from training.models.base import AnomalyModel, ClosedFormModel
from training.models.base import Features as Extracted
from training.workers import Workers

_DRAWN = 60  # defects
_RATE = 0.01  # of good images that the threshold of a comparison rejects
_RESAMPLED = 200
# Leads of so many standard deviations are not chance, with several candidates. Drawn defects order
# models no better than chance (docs/measured/evidence.md), so that they need a very clear lead.
_CLEAR = 3.0
_MOST_PX = 100_000_000  # of all pictures; their features take 12 bytes for each with ResNet-18


class Merit(NamedTuple):
    """Figures of a candidate.

    Attributes:
        image_auroc: of good images against those with a drawn defect.
        found: share of the drawn defects above the threshold that the good images give.
    """

    image_auroc: float
    found: float

    @property
    def mean(self) -> float:
        """Returns the figure that compares."""
        return (self.image_auroc + self.found) / 2


class Scores(NamedTuple):
    """Scores of one candidate.

    Attributes:
        good: of the judged good images.
        drawn: of the defects drawn on them.
        images: for each defect, the position in `good` of the image below it.
    """

    good: npt.NDArray[np.float64]
    drawn: npt.NDArray[np.float64]
    images: npt.NDArray[np.intp]

    def merit(self) -> Merit:
        """Returns the figures of all images."""
        return merit(self.good, self.drawn)

    def resampled(self) -> npt.NDArray[np.float64]:
        """Returns the mean merit of random choices of the images, the same for all candidates."""
        random = np.random.default_rng(0)
        found = []
        for _ in range(_RESAMPLED):
            chosen = random.integers(len(self.good), size=len(self.good))
            drawn = [self.drawn[self.images == image] for image in chosen]
            found.append(merit(self.good[chosen], np.concatenate(drawn)).mean)
        return np.array(found)


def merit(good: npt.NDArray[np.float64], drawn: npt.NDArray[np.float64]) -> Merit:
    """Returns the figures of scores."""
    scores = np.concatenate([good, drawn])
    rank = min(math.ceil((1 - _RATE) * (len(good) + 1)), len(good))
    threshold = np.sort(good)[rank - 1]
    return Merit(
        auroc(scores, np.arange(len(scores)) >= len(good)), float((drawn > threshold).mean())
    )


class Bench(Protocol):
    """The means to measure candidates."""

    def features_s(self, candidate: Candidate) -> float:
        """Measures the time of the features of one image."""

    def expected_s(self, candidate: Candidate) -> float:
        """Estimates the time of judging a candidate."""

    def judge(self, candidate: Candidate) -> Scores:
        """Fits the candidate and scores the images that it has not learnt."""


def compare(
    candidates: Sequence[Candidate],
    bench: Bench,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Candidate, tuple[Tried, ...], str]:
    """Judges candidates in turn as long as there is time, and chooses one.

    Args:
        candidates: the default first, then as they are to be tried.
        seconds: no candidate begins that would end later; the default always runs.

    Returns:
        the chosen one, the figures of all, and the reason in words.
    """
    started = clock()
    judged: dict[Candidate, Scores] = {}
    tried = []
    for candidate in candidates:
        before = clock()
        features = candidate.features
        one = Tried(
            form=candidate.form,
            backbone=features.source.name,
            image_size=features.size,
            features_ms=round(1000 * bench.features_s(candidate), 1),
        )
        if judged and before - started + bench.expected_s(candidate) > seconds:
            tried.append(one.model_copy(update={"remark": "no time left"}))
            continue
        judged[candidate] = bench.judge(candidate)
        figures = judged[candidate].merit()._asdict()
        took = round(clock() - before, 2)
        tried.append(one.model_copy(update={"seconds": took, **figures}))
    return _choice(candidates, tried, judged)


def _choice(
    candidates: Sequence[Candidate], tried: Sequence[Tried], judged: dict[Candidate, Scores]
) -> tuple[Candidate, tuple[Tried, ...], str]:
    """Chooses the candidate with the clearest lead; without one the default."""
    default = judged[candidates[0]]
    usual, usual_resampled = default.merit().mean, default.resampled()
    compared = []
    for candidate, one in zip(candidates, tried, strict=True):
        if candidate in judged and candidate is not candidates[0]:
            scores = judged[candidate]
            spread = float((scores.resampled() - usual_resampled).std())
            figures = {"lead": scores.merit().mean - usual, "lead_std": spread}
            compared.append(one.model_copy(update=figures))
        else:
            compared.append(one)
    best = clearest(compared)
    reason = (
        f"{compared[best].form} on {compared[best].backbone}: ahead of the default by "
        f"{compared[best].lead:.3f}, more than chance gives"
        if best
        else "no candidate is ahead of the default by more than chance gives: the default stays"
    )
    remarks = {0: "default", best: "chosen"}
    remarked = [
        one.model_copy(update={"remark": remarks.get(number, one.remark)})
        for number, one in enumerate(compared)
    ]
    return candidates[best], tuple(remarked), reason


def clearest(tried: Sequence[Tried]) -> int:
    """Returns the number of the candidate with the clearest lead; 0, the default, without one.

    Of equal ones it is the first, which costs less.
    """
    leads = [one.lead if one.lead > _CLEAR * one.lead_std else 0.0 for one in tried]
    return max(range(len(leads)), key=leads.__getitem__)


class ImageBench:
    """Measures candidates on images.

    Args:
        samples: good images that the calibration does not use, in random order.
        candidates: all of them; their trainings differ in model, input size and fit only.
        config_of: returns the training of a candidate.
        train: trains a model by optimisation steps; None when no candidate does.
        smallest_px: native px that no drawn defect is below.
    """

    def __init__(
        self,
        samples: Sequence[SurveyedSample],
        candidates: Sequence[Candidate],
        config_of: Callable[[Candidate], TrainConfig],
        *,
        train: Callable[[TrainConfig, Sequence[SurveyedSample]], AnomalyModel] | None,
        smallest_px: float,
    ) -> None:
        config = config_of(candidates[0])
        self._config_of, self._train = config_of, train
        self._folds = folds(len(samples), one=train is not None)
        self.judged = sorted(number for fold in self._folds for number in fold.judged)
        used = sorted({n for fold in self._folds for n in (*fold.learnt, *fold.judged)})
        self._samples = [samples[number] for number in used]
        self.drawn = dealt(wanted_defects(_DRAWN), self.judged)
        self._config, self._smallest_px = config, smallest_px
        self._sizes = [config_of(one).data.image_size for one in candidates]
        self._workers = Workers(config.fit)
        self._seconds: dict[Features, float] = {}
        self._extracted: tuple[Features, _Extracted] | None = None

    def features_s(self, candidate: Candidate) -> float:
        """Measures the time of the features of one image."""
        if candidate.features not in self._seconds:
            config = self._config_of(candidate)
            self._seconds[candidate.features] = backbone_s(config, candidate.features.size)
        return self._seconds[candidate.features]

    def expected_s(self, candidate: Candidate) -> float:
        """Estimates the time of the features that are still to be extracted."""
        if self._extracted is not None and self._extracted[0] == candidate.features:
            return 0.0
        return self.features_s(candidate) * (len(self._samples) + len(self.drawn.wanted))

    def reason_against(self, candidate: Candidate, seconds: float) -> str:
        """Returns why the images are too many or too large to judge even one candidate, or ""."""
        count = len(self._samples) + len(self.drawn.wanted)
        height, width = candidate.features.size
        what = f"{count} images of {height}x{width}"
        if count * height * width > _MOST_PX:
            return f"{what} would need too much memory"
        expected = self.expected_s(candidate)
        return f"{what} would take {expected:.0f} s" if expected > seconds else ""

    def judge(self, candidate: Candidate) -> Scores:
        """Fits the candidate and scores the images that it has not learnt."""
        config = self._config_of(candidate)
        torch.manual_seed(config.fit.seed)
        model = self._workers.place(build_model(config)).eval()
        extracted = self._extract(model, candidate.features)
        good: dict[int, float] = {}
        drawn: dict[int, float] = {}
        for fold in self._folds:
            fitted = self._fitted(model, config, extracted, fold)
            good |= {n: _score(fitted, extracted.good[n]) for n in fold.judged}
            drawn |= {
                number: _score(fitted, extracted.drawn[number])
                for number, image in enumerate(self.drawn.images)
                if image in fold.judged
            }
        return Scores(
            np.array([good[n] for n in self.judged]),
            np.array([drawn[n] for n in range(len(self.drawn.images))]),
            np.searchsorted(self.judged, self.drawn.images),
        )

    def _fitted(
        self, model: AnomalyModel, config: TrainConfig, extracted: _Extracted, fold: Fold
    ) -> AnomalyModel:
        if not isinstance(model, ClosedFormModel):
            if self._train is None:
                raise ConfigError(f"{config.model.name} is trained, which needs --minutes")
            judged = [self._samples[n] for n in fold.judged]
            return self._workers.place(self._train(config, judged)).eval()
        fresh = copy.deepcopy(model)
        for number in fold.learnt:
            fresh.learn(extracted.good[number])
        fresh.solve()
        return fresh

    @cached_property
    def _pictures(self) -> dict[Size, Pictures]:
        return read_pictures(
            self._samples,
            self.drawn,
            self._sizes,
            self._config.data.crop,
            seed=self._config.fit.seed,
            smallest_px=self._smallest_px,
        )

    @torch.no_grad()
    def _extract(self, model: AnomalyModel, features: Features) -> _Extracted:
        """Returns the features of all images; those of the last candidate when they are alike."""
        if self._extracted is None or self._extracted[0] != features:
            pictures = self._pictures[features.size]
            good, drawn = (
                [
                    model.extract(torch.from_numpy(one)[None].to(self._workers.device))
                    for one in many
                ]
                for many in pictures
            )
            self._extracted = (features, _Extracted(good, drawn))
        return self._extracted[1]


class _Extracted(NamedTuple):
    """Features of the pictures."""

    good: list[Extracted]
    drawn: list[Extracted]


@torch.no_grad()
def _score(model: AnomalyModel, features: Extracted) -> float:
    return float(model.predict(features).scores[0])
