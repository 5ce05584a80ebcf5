"""Comparison of candidates by good images that they have not learnt, and defects drawn on them.

Test images take no part. Nor do the images that are held out for the calibration: a threshold
keeps its promise only when its images did not choose the model.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from inspection.errors import ConfigError
from inspection.preprocess import Preprocessing
from training.candidates import Candidate, Features, Sections
from training.checkpoint import build_model
from training.comparison_pictures import (
    Image,
    Mask,
    Pictures,
    divided,
    read_pictures,
    wanted_defects,
)
from training.config import FitConfig
from training.data.survey import SurveyedSample
from training.evidence_record import Evidence, Tried
from training.input_size import Size
from training.metrics import aupro, auroc
from training.models.base import AnomalyModel, ClosedFormModel
from training.models.base import Features as Extracted
from training.workers import Workers

_DRAWN = 60  # defects
_CELLS = 128  # of a thinned map along its mean side: maps are blurred, and AUPRO sorts all cells
_TIMED = 3  # images


class Limits(NamedTuple):
    """Limits of a comparison.

    Attributes:
        seconds: no candidate begins that would end later; the first always runs.
        budget_ms: of the backbone for one image; None for any.
        defect_px: thickness of drawn scratches in native px; None takes a share of the frame.
    """

    seconds: float
    budget_ms: float | None = None
    defect_px: float | None = None


class Bench(Protocol):
    """The means to measure candidates.

    Attributes:
        images: number of images that features are extracted of.
    """

    images: int

    def extraction_s(self, features: Features) -> float:
        """Measures the time of the features of one image."""

    def judge(self, features: Features) -> Iterator[Callable[[], Tried]]:
        """Yields the work of each candidate with these features; each returns its figures."""

    def untried(self, features: Features) -> list[Tried]:
        """Returns the candidates with these features, without figures."""


def compare(
    samples: Sequence[SurveyedSample],
    groups: Sequence[Features],
    forms: Sequence[str],
    preprocessing: Preprocessing,
    fixed: Sections,
    *,
    limits: Limits,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Candidate, Evidence]:
    """Compares candidates by drawn defects; returns the best one.

    Args:
        samples: good images that the calibration does not use, in random order.
        groups: features to compare, each with all `forms`.
        preprocessing: from frames to an input of any size; its own size is not used.
        fixed: the given settings of the sections data and fit.
        clock: seconds.

    Raises:
        ConfigError: all candidates are slower than allowed, or the device or weights are missing.
    """
    started = clock()
    division = divided(samples)
    wanted = wanted_defects(len(division.compared), _DRAWN)
    pictures = read_pictures(
        division,
        list(dict.fromkeys(group.size for group in groups)),
        preprocessing,
        wanted,
        seed=fixed["fit"]["seed"],
        width=limits.defect_px,
    )
    kinds = [one.kind for of_image in wanted for one in of_image]
    bench = DrawnDefectBench(forms, pictures, kinds, fixed, clock)
    tried = contest(groups, bench, limits, started=started, clock=clock)
    best = choose(tried, limits)
    evidence = Evidence(
        fitted=len(division.learnt),
        compared=len(division.compared),
        drawn=len(kinds),
        seconds=round(clock() - started, 1),
        tried=tuple(
            one.model_copy(update={"remark": "chosen"}) if one is best else one for one in tried
        ),
    )
    source = next(g.source for g in groups if g.source.name == best.backbone)
    return Candidate(best.form, source, best.image_size), evidence


def contest(
    groups: Sequence[Features],
    bench: Bench,
    limits: Limits,
    *,
    started: float,
    clock: Callable[[], float],
) -> list[Tried]:
    """Tries candidates, those with the cheapest features first, as long as there is time."""
    # One measurement of each backbone: two would compare the load of the machine, not the sizes.
    smallest = {group.source: group for group in sorted(groups, key=lambda g: -g.area)}
    per_px = {source: bench.extraction_s(one) / one.area for source, one in smallest.items()}
    paces = {group: per_px[group.source] * group.area for group in groups}
    tried: list[Tried] = []
    for group in sorted(groups, key=paces.__getitem__):
        measured = {"features_ms": round(1000 * paces[group], 1)}
        if limits.budget_ms is not None and 1000 * paces[group] > limits.budget_ms:
            refusal = {"remark": f"slower than {limits.budget_ms:g} ms", **measured}
            tried += [one.model_copy(update=refusal) for one in bench.untried(group)]
            continue
        ends = clock() + bench.images * paces[group]
        for untried, judge in zip(bench.untried(group), bench.judge(group), strict=True):
            is_first = not any(one.is_tried for one in tried)
            if is_first or max(ends, clock()) - started <= limits.seconds:
                tried.append(judge().model_copy(update=measured))
            else:
                tried.append(untried.model_copy(update={"remark": "no time left", **measured}))
    return tried


class DrawnDefectBench:
    """Measures candidates on good images and on defects drawn on them.

    Args:
        forms: of each candidate.
        pictures: by size.
        kinds: of the drawn defects.
        fixed: the given settings of the sections data and fit.
        clock: seconds.
    """

    def __init__(
        self,
        forms: Sequence[str],
        pictures: dict[Size, Pictures],
        kinds: Sequence[str],
        fixed: Sections,
        clock: Callable[[], float],
    ) -> None:
        self._forms, self._pictures, self._kinds = forms, pictures, np.array(kinds)
        self._fixed, self._clock = fixed, clock
        self._workers = Workers(FitConfig.model_validate(fixed["fit"]))
        one = next(iter(pictures.values()))
        self.images = len(one.learnt) + len(one.good) + len(one.drawn)

    def extraction_s(self, features: Features) -> float:
        """Measures the time of the features of one image, the median of a few."""
        model = self._model(self._forms[0], features)
        image = self._pictures[features.size].good[0]
        times = []
        for _ in range(_TIMED):
            before = self._clock()
            self._extract(model, image)
            times.append(self._clock() - before)
        return float(np.median(times))

    def untried(self, features: Features) -> list[Tried]:
        """Returns the candidates with these features, without figures."""
        return [
            Tried(form=form, backbone=features.source.name, image_size=features.size)
            for form in self._forms
        ]

    def judge(self, features: Features) -> Iterator[Callable[[], Tried]]:
        """Yields the work of each candidate with these features; each returns its figures."""
        pictures = self._pictures[features.size]
        extracted: dict[str, list[Extracted]] = {}

        def work(form: str, untried: Tried) -> Tried:
            before = self._clock()
            model = self._model(form, features)
            if not extracted:
                for name in ("learnt", "good", "drawn"):
                    images: list[Image] = getattr(pictures, name)
                    extracted[name] = [self._extract(model, image) for image in images]
            maps = self._maps(model, **extracted)
            seconds = round(self._clock() - before, 2)
            return untried.model_copy(
                update={"seconds": seconds, **self._figures(*maps, pictures.masks)}
            )

        for form, untried in zip(self._forms, self.untried(features), strict=True):
            yield partial(work, form, untried)

    def _model(self, form: str, features: Features) -> ClosedFormModel:
        config = Candidate(form, features.source, features.size).config(self._fixed)
        torch.manual_seed(config.fit.seed)
        model = self._workers.place(build_model(config)).eval()
        assert isinstance(model, ClosedFormModel)  # noqa: S101 - all forms are
        return model

    def _extract(self, model: AnomalyModel, image: Image) -> Extracted:
        return model.extract(torch.from_numpy(image)[None].to(self._workers.device))

    @torch.no_grad()
    def _maps(
        self,
        model: ClosedFormModel,
        learnt: Sequence[Extracted],
        good: Sequence[Extracted],
        drawn: Sequence[Extracted],
    ) -> tuple[Tensor, Tensor]:
        """Fits a model; returns its maps (N, H, W) of the good images and of the drawn defects."""
        for features in learnt:
            model.learn(features)
        model.solve()
        of_good, of_drawn = (
            torch.cat([model.predict(features).maps for features in these]).cpu()
            for these in (good, drawn)
        )
        return of_good, of_drawn

    def _figures(self, good: Tensor, drawn: Tensor, masks: Sequence[Mask]) -> dict[str, object]:
        scores, of_good = drawn.amax((1, 2)).numpy(), good.amax((1, 2)).numpy()

        def separated(chosen: npt.NDArray[np.bool_]) -> float:
            both = np.concatenate([of_good, scores[chosen]])
            return auroc(both, np.arange(len(both)) >= len(of_good))

        step = max(1, round(math.sqrt(good[0].numel()) / _CELLS))
        maps = torch.cat([good, drawn])[:, ::step, ::step].numpy()
        truths = F.max_pool2d(torch.from_numpy(np.stack(masks)).float(), step, ceil_mode=True)
        thinned = np.concatenate(
            [np.zeros((len(good), *maps.shape[1:]), np.bool_), truths.numpy() > 0]
        )
        return {
            "image_auroc": separated(np.ones(len(scores), np.bool_)),
            "aupro": aupro(maps, thinned),
            "by_kind": {
                str(kind): separated(self._kinds == kind) for kind in np.unique(self._kinds)
            },
        }


def choose(tried: Sequence[Tried], limits: Limits) -> Tried:
    """Returns the candidate with the highest merit, of equal ones the cheapest.

    Raises:
        ConfigError: none was tried.
    """
    best = max(tried, key=lambda one: one.merit)
    if not best.is_tried:
        fastest = min(one.features_ms or 0.0 for one in tried)
        raise ConfigError(
            f"--budget-ms {limits.budget_ms:g}: the fastest of {len(tried)} candidates takes "
            f"{fastest:.0f} ms for one image on this machine; allow more, or give a smaller --size"
        )
    return best
