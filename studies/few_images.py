"""What the promises of few good images are worth on real ones.

::

    python -m studies.few_images DATA... [--draws 20]

For each data set and number of good images it draws that many, learns them, sets the threshold as
`linewarden teach` does, and counts the other good images above it. The table has the mean over the
draws beside the promise on average, and the share of draws above the bound of 95 %.
LINEWARDEN_WEIGHTS names the weights of the backbone.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from calibration.tolerance import tolerance_limit
from inspection.names import printable
from inspection.preprocess import Preprocessing
from linewarden.parser import Parser
from training.candidates import FORMS, configured
from training.checkpoint import build_model
from training.data.augment import Augmentation
from training.data.layout import read_data_set
from training.data.masks import Annotation
from training.data.samples import SampleReader
from training.data.survey import SurveyedSample, survey
from training.few_images import mirrored_prediction, predictions_without
from training.input_size import AREA, proportional, typical_size
from training.models.base import ClosedFormModel, LearntImage
from training.weights_source import Source, named_source

COUNTS = (1, 2, 4, 8, 16)
OTHERS = 60  # good images that judge a draw, at most


class KeptFeatures:
    """A model and its data set; features of every image are extracted once.

    Attributes:
        good: all good images; `defective` are the numbers after theirs.
    """

    def __init__(
        self, folder: Path, source: Source, form: str = "subspace", most_defective: int = 0
    ) -> None:
        data = read_data_set(folder)
        self.good = survey([*data.good, *(s for s in data.test if s.is_good)])
        defective = survey([s for s in data.test if not s.is_good][:most_defective])
        samples = [*self.good, *defective]
        self.defective = range(len(self.good), len(samples))
        sections: dict[str, dict[str, Any]] = {
            "data": {
                "folder": printable(folder),
                "image_size": proportional(typical_size(self.good), AREA),
            },
            "model": {
                **FORMS[form],
                "backbone": {"name": source.name, "weights": source.weights},
            },
            "fit": {},
        }
        config = configured(sections)
        model = build_model(config)
        assert isinstance(model, ClosedFormModel)
        self.model = model.eval()
        self.empty = {key: value.clone() for key, value in model.state_dict().items()}
        self.reader = _reader(samples, config.data.image_size)
        with torch.no_grad():
            self.features = [
                model.extract(self.reader.images([number])) for number in range(len(samples))
            ]

    def learn(self, chosen: Sequence[int]) -> ClosedFormModel:
        torch.manual_seed(0)
        self.model.load_state_dict(self.empty)
        with torch.no_grad():
            for number in chosen:
                self.model.learn(self.features[number])
            self.model.solve()
        return self.model

    def score(self, number: int) -> float:
        with torch.no_grad():
            return float(self.model.predict(self.features[number]).scores)


def _reader(good: Sequence[SurveyedSample], size: tuple[int, int]) -> SampleReader:
    heights, widths = zip(*(sample.size for sample in good), strict=True)
    preprocessing = Preprocessing(
        frame_height=(min(heights), max(heights)),
        frame_width=(min(widths), max(widths)),
        channels=1 if good[0].channels == 1 else 3,
        height=size[0],
        width=size[1],
    )
    return SampleReader(good, preprocessing, Annotation(), Augmentation(), 0)


def threshold(kept: KeptFeatures, chosen: Sequence[int]) -> float:
    """Returns the threshold of the chosen images."""
    model = kept.learn(chosen)
    if len(chosen) == 1:
        return float(mirrored_prediction(model, kept.reader.images(chosen)).scores[0])
    images = [LearntImage(place, [kept.features[number]]) for place, number in enumerate(chosen)]
    found = predictions_without(model, ([image] for image in images))
    return max(float(one.scores[0]) for one in found)


def measure(kept: KeptFeatures, count: int, draws: int) -> str:
    """Returns a row of the table for draws of `count` images."""
    rates = []
    for draw in range(draws):
        order = np.random.default_rng(draw).permutation(len(kept.good)).tolist()
        chosen, others = order[:count], order[count : count + OTHERS]
        limit = threshold(kept, chosen)
        kept.learn(chosen)
        rates.append(float(np.mean([kept.score(number) > limit for number in others])))
    bound = tolerance_limit([0.0] * count, false_reject_rate=0.01, confidence=0.95)
    average, sure = f"{bound.average:.1%}", f"{bound.bound:.1%}"
    above = f"{np.mean(np.asarray(rates) > bound.bound):.0%}"
    if count == 1:
        average, sure, above = "none", "none", "-"
    return (
        f"{count} | {np.mean(rates):.1%} | {average} | {np.median(rates):.1%} | "
        f"{max(rates):.1%} | {sure} | {above}"
    )


def main() -> None:
    parser = Parser(
        prog="python -m studies.few_images",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data", nargs="+", type=Path, metavar="DATA", help="data sets")
    parser.add_argument("--draws", type=int, default=20, help="default: %(default)s")
    args = parser.parse_args()
    source = named_source("auto")
    print(f"{source.name}, {args.draws} draws, false reject rate of other good images\n")
    print("| data | good images | mean | promise on average | median | worst | bound | above it |")
    print("|---|---|---|---|---|---|---|---|")
    for folder in args.data:
        kept = KeptFeatures(folder, source)
        for count in COUNTS:
            print(f"| {folder.name} | {measure(kept, count, args.draws)} |", flush=True)


if __name__ == "__main__":
    main()
