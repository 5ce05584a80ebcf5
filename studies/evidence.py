"""How well the choice of `linewarden teach` by drawn defects agrees with real ones.

::

    python -m studies.evidence --data DATA... --work FOLDER --out PAGE

For each data set and backbone at hand it compares the models that are not trained as `teach` does,
then fits each on all images that teach would fit it on, and scores the real test images. Each pair
has a file in FOLDER, and one that is there is not measured again. LINEWARDEN_WEIGHTS names weights.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from inspection.config.loading import StrictModel
from inspection.files import write_text
from inspection.images import read_image
from inspection.names import printable
from inspection.preprocess import Preprocessing, preprocess
from linewarden.parser import Parser
from studies.pages.sections import write_page
from training.candidates import FORMS, Candidate, Features, configured, default_first
from training.checkpoint import build_model
from training.config import TrainConfig
from training.data.data_set import DataSet
from training.data.layout import read_data_set
from training.data.masks import read_mask
from training.data.survey import SurveyedSample, split_good, survey
from training.evidence import ImageBench, clearest, compare
from training.evidence_record import Tried
from training.first_look import frames_of
from training.hold_out import hold_out_share
from training.input_size import AREA, proportional, typical_size
from training.inspected import truth_at_map_size
from training.metrics import aupro, auroc
from training.models.base import ClosedFormModel
from training.weights_source import Source, sources_at_hand

_CELLS = 192  # of a thinned map along its mean side: maps are blurred, and AUPRO sorts all cells


class Real(StrictModel):
    """Figures of the test images."""

    image_auroc: float
    aupro: float


class Row(StrictModel):
    """A data set with a backbone: drawn and real figures of each form, the default first."""

    data_set: str
    tried: tuple[Tried, ...]
    real: dict[str, Real]


class _Case:
    """A data set and a backbone."""

    def __init__(self, data_set: DataSet, source: Source) -> None:
        self.name = data_set.name
        self.good, self.test = survey(data_set.good), survey(data_set.test)
        frames = frames_of([*self.good, *self.test])
        size = proportional(typical_size(self.good), AREA)
        self.candidates = [
            Candidate(form, Features(source, size)) for form in default_first([*FORMS], source)
        ]
        self.preprocessing = Preprocessing(
            frame_height=frames.heights,
            frame_width=frames.widths,
            channels=1 if self.good[0].channels == 1 else 3,
            height=size[0],
            width=size[1],
        )
        config = self.config(self.candidates[0])
        hold_out = hold_out_share(len(self.good), in_turn=True)
        self.fit = split_good(self.good, hold_out=hold_out, seed=config.fit.seed).fit

    def config(self, candidate: Candidate) -> TrainConfig:
        source, size = candidate.features
        backbone = {"name": source.name, "weights": source.weights}
        return configured(
            {
                "data": {"folder": printable(Path("/")), "image_size": size},
                "model": {**FORMS[candidate.form], "backbone": backbone},
                "fit": {},
            }
        )

    def row(self) -> Row:
        bench = ImageBench(self.fit, self.candidates, self.config, train=None, smallest_px=0)
        _, tried, _ = compare(self.candidates, bench, float("inf"))
        return Row(data_set=self.name, tried=tried, real=dict(self._real()))

    @torch.no_grad()
    def _real(self) -> Iterator[tuple[str, Real]]:
        """Fits all forms on the same features, and scores the test images."""
        models: dict[str, ClosedFormModel] = {}
        for candidate in self.candidates:
            config = self.config(candidate)
            torch.manual_seed(config.fit.seed)
            model = build_model(config).eval()
            assert isinstance(model, ClosedFormModel)
            models[candidate.form] = model
        extract = next(iter(models.values())).extract
        for sample in self.fit:
            features = extract(self._image(sample))
            for model in models.values():
                model.learn(features)
        maps: dict[str, list[npt.NDArray[np.float32]]] = {form: [] for form in models}
        for model in models.values():
            model.solve()
        for sample in self.test:
            features = extract(self._image(sample))
            for form, model in models.items():
                maps[form].append(model.predict(features).maps[0].float().numpy())
        for form, found in maps.items():
            yield form, self._figures(np.stack(found))

    def _figures(self, maps: npt.NDArray[np.float32]) -> Real:
        defective = np.array([not sample.sample.is_good for sample in self.test])
        step = max(1, round(AREA**0.5 / _CELLS))
        truths = np.stack([self._truth(sample) for sample in self.test])
        return Real(
            image_auroc=auroc(maps.max((1, 2)), defective),
            aupro=float(aupro(maps[:, ::step, ::step], truths[:, ::step, ::step])),
        )

    def _image(self, sample: SurveyedSample) -> torch.Tensor:
        image = preprocess(read_image(sample.sample.path), self.preprocessing)
        return torch.from_numpy(image)[None]

    def _truth(self, sample: SurveyedSample) -> npt.NDArray[np.bool_]:
        if sample.sample.mask is None:
            return np.zeros((self.preprocessing.height, self.preprocessing.width), np.bool_)
        return truth_at_map_size(read_mask(sample.sample.mask, sample.size) > 0, self.preprocessing)


_PAGE = """# How drawn defects choose, and what real defects say

Made by `make evidence-study` on {date}. No figure is a time.

`linewarden teach` has no defects when it chooses a model, and draws some. Here it chooses on data
sets that have real ones. Each model has the input that `teach` takes, about 256 x 256 px in the
proportions of the frames. "Drawn" is what `teach` sees: image AUROC, the share of 60 drawn defects
above the threshold of the good images, and the lead before the default with its standard
deviation. "Real" is what the labelled test images say, of a model of the images that `teach`
learns: half of up to 40, and 80 % of 100 or more. The test images choose nothing here, but the
default is chosen by these figures.

{tables}

## What follows

{conclusion}
"""

_HEAD = """| model | drawn AUROC | drawn found | lead | | real image AUROC | real AUPRO |
|---|---|---|---|---|---|---|"""


def page(rows: Sequence[Row]) -> str:
    """Writes the page."""
    tables = "\n\n".join(
        f"## {row.data_set}, {row.tried[0].backbone}\n\n{_HEAD}\n" + "\n".join(_lines(row))
        for row in rows
    )
    date = datetime.now(timezone.utc).date().isoformat()
    return _PAGE.format(date=date, tables=tables, conclusion="\n".join(_conclusions(rows)))


def _lines(row: Row) -> Iterator[str]:
    chosen = clearest(row.tried)
    for number, one in enumerate(row.tried):
        real = row.real[one.form]
        lead = f"{one.lead:+.3f} ± {one.lead_std:.3f}" if one.lead_std else ""
        remark = "chosen" if number == chosen else ""
        yield (
            f"| {one.form} | {one.image_auroc:.3f} | {one.found:.0%} | {lead} | {remark} | "
            f"{real.image_auroc:.3f} | {real.aupro:.3f} |"
        )


def _conclusions(rows: Sequence[Row]) -> Iterator[str]:
    """Counts how often drawn and real defects agree, and compares ways to choose."""
    for backbone in dict.fromkeys(row.tried[0].backbone for row in rows):
        mine = [row for row in rows if row.tried[0].backbone == backbone]
        right, pairs = map(sum, zip(*(_agreement(row) for row in mine), strict=True))
        names = ", ".join(row.data_set for row in mine)
        yield f"**{backbone}** ({names}):\n"
        yield (
            f"- Of {pairs} pairs of models that real image AUROC orders, drawn defects order "
            f"{right} alike ({right / max(1, pairs):.0%}; chance 50 %)."
        )
        ways = {
            "the default": [row.tried[0].form for row in mine],
            "the choice of teach": [row.tried[clearest(row.tried)].form for row in mine],
            "the highest drawn figure": [
                max(row.tried, key=lambda one: one.lead).form for row in mine
            ],
            **{f"always {form}": [form] * len(mine) for form in FORMS},
        }
        yield "\n| way to choose | mean real image AUROC | mean real AUPRO |\n|---|---|---|"
        for way, forms in ways.items():
            found = [row.real[form] for row, form in zip(mine, forms, strict=True)]
            image, pixel = (
                float(np.mean([getattr(one, name) for one in found]))
                for name in ("image_auroc", "aupro")
            )
            yield f"| {way} | {image:.3f} | {pixel:.3f} |"
        yield ""
        for row in mine:
            others = [one for one in mine if one is not row]
            if others:
                yield _without(row, others)
        yield ""


def _without(row: Row, others: Sequence[Row]) -> str:
    """Says what the other data sets would have chosen as default for this one."""
    best = max(FORMS, key=lambda form: sum(one.real[form].image_auroc for one in others))
    return (
        f"- Without {row.data_set} the default would be {best}: real image AUROC "
        f"{row.real[best].image_auroc:.3f} there, of the best one "
        f"{max(one.image_auroc for one in row.real.values()):.3f}."
    )


def _agreement(row: Row) -> tuple[int, int]:
    """Counts pairs that drawn and real figures order alike, and all that real figures order."""
    right = pairs = 0
    for number, one in enumerate(row.tried):
        for other in row.tried[:number]:
            real = row.real[one.form].image_auroc - row.real[other.form].image_auroc
            pairs += real != 0
            right += real * (one.lead - other.lead) > 0
    return right, pairs


def main() -> None:
    """Measures the pairs that have no file yet, and writes the page."""
    parser = Parser(prog="python -m studies.evidence", description=__doc__)
    parser.add_argument("--data", nargs="+", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    rows = []
    for source in sources_at_hand("auto"):
        for folder in args.data:
            kept = args.work / f"{folder.name}-{source.name}.json"
            if not kept.exists():
                sys.stderr.write(f"{folder.name}, {source.name}\n")
                row = _Case(read_data_set(folder), source).row()
                write_text(kept, row.model_dump_json(indent=2) + "\n")
            rows.append(Row.model_validate_json(kept.read_text(encoding="utf-8")))
    write_page(args.out, page(rows))


if __name__ == "__main__":
    main()
