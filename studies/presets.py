"""Choose the settings of the presets on three data sets, and confirm them on the fourth.

::

    python -m studies.presets --work build/presets --out docs/measured/presets.md DATA...

A candidate is a preset of configs/train with a few settings changed. Each is trained on every data
set, with the last epoch judged through the checkpoint on the test images, at the size of the
model's input. For each data set the better candidate is then chosen by the other data sets alone,
so that its figures there have chosen nothing. --work keeps each finished trial.
LINEWARDEN_WEIGHTS names the weights of the backbone.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from export.study_report import markdown_table
from inspection.config.loading import StrictModel
from inspection.files import write_text
from inspection.preprocess import Preprocessing
from linewarden.parser import Parser
from linewarden.training_run import fit_with_progress, load_train_config, say
from studies.pages.sections import write_page
from training.checkpoint import RUN, load_run
from training.data.augment import Augmentation
from training.data.layout import read_data_set
from training.data.masks import Annotation
from training.data.samples import SampleReader
from training.data.survey import survey
from training.metrics import aupro, auroc

INTRODUCTION = """\
# Presets

Made by `python -m studies.presets`. Each cell has image AUROC / AUPRO at 0.3 on the test images,
after the last epoch, through the checkpoint and at the size of the model's input. The mean of both
figures chooses; of differnet-cpu, whose map localises nothing, image AUROC alone.

The second table of each preset compares every candidate with the first one, over the data sets that
both were tried on. A choice never sees the data set that confirms it: the other data sets choose,
and the figures on this one are those of the chosen candidate, then of the other.
"""
CONFIGS = Path(__file__).parents[1] / "configs" / "train"
COMMON = ("data.frame_height=[1,4000]", "data.frame_width=[1,4000]")
BATCH = 8

# The first candidate of each preset is the file as it is.
CANDIDATES: dict[str, dict[str, tuple[str, ...]]] = {
    "subspace": {
        "upright": (),
        "8 rotations": ("model.rotations=8",),
    },
    "memory": {
        "upright": (),
        "8 rotations": ("model.rotations=8",),
    },
    "supersimplenet-cpu": {
        "16x16 positions": (),
        "24x24 positions": ("model.sampled_grid=24",),
        "16x16 positions, 8 rotations": ("data.augment.rotations=8",),
    },
    "simplenet-cpu": {
        "128 patches": (),
        "512 patches": ("model.sampled_patches=512",),
    },
    "uniad-cpu": {
        "400 steps, to 1200 in doubt": (),
        "800 steps": ("fit.minimum_steps=800",),
    },
    "ganomaly-cpu": {
        "score map": (),
        "score latent": ("model.score=latent",),
    },
    "differnet-cpu": {
        "standardised, 100 steps": (),
        "400 steps": ("model.standardise=false", "fit.minimum_steps=400"),
    },
    "differnet-spatial-cpu": {
        "standardised, 100 steps": (),
        "400 steps": ("model.standardise=false", "fit.minimum_steps=400"),
    },
}
# Models of whole images, whose maps explain the score and localise nothing.
BY_SCORE_ALONE = ("differnet-cpu",)


class Trial(StrictModel):
    """A candidate, trained on a data set and judged on its test images."""

    preset: str
    candidate: str
    data_set: str
    seed: int
    steps: int
    seconds: float
    image_auroc: float
    pixel_auroc: float
    aupro: float
    doubts: tuple[str, ...]

    @property
    def merit(self) -> float:
        """Returns the figure that chooses; image AUROC and AUPRO count the same."""
        if self.preset in BY_SCORE_ALONE:
            return self.image_auroc
        return (self.image_auroc + self.aupro) / 2


class TestImages(NamedTuple):
    """Prepared test images (N, H, W, 3), and their masks (N, H, W)."""

    images: Tensor
    masks: npt.NDArray[np.bool_]
    defective: npt.NDArray[np.bool_]


def main() -> None:
    parser = Parser(
        prog="python -m studies.presets",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data", nargs="+", type=Path, metavar="DATA", help="data sets")
    parser.add_argument(
        "--presets",
        nargs="+",
        choices=CANDIDATES,
        default=[*CANDIDATES],
        metavar="NAME",
        help="default: all",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[1], help="default: 1")
    parser.add_argument("--work", required=True, type=Path, metavar="FOLDER", help="trials")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="Markdown to write")
    args = parser.parse_args()
    for folder in args.data:
        for preset in args.presets:
            for candidate in CANDIDATES[preset]:
                for seed in args.seeds:
                    try_once(preset, candidate, folder, seed, args.work)
    trials = [Trial.model_validate_json(f.read_bytes()) for f in args.work.glob("*/trial.json")]
    write_page(args.out, page(trials))


def try_once(preset: str, candidate: str, folder: Path, seed: int, work: Path) -> None:
    """Trains and judges a candidate, unless an earlier call has done it."""
    place = work / f"{preset}, {candidate}, {folder.name}, {seed}"
    if (place / "trial.json").exists():
        return
    say(f"presets: {place.name}")
    settings = [
        *COMMON,
        *CANDIDATES[preset][candidate],
        f"data.folder={folder.resolve()}",
        f"fit.seed={seed}",
    ]
    config = load_train_config(CONFIGS / f"{preset}.yaml", settings, default_weights=True)
    if not (place / "run" / RUN).exists():
        fit_with_progress(config, place / "run")
    record, model = load_run(place / "run")
    test = read_test_images(folder, record.preprocessing)
    with torch.no_grad():
        found = [model(part) for part in test.images.split(BATCH)]
    maps = torch.cat([one.maps for one in found]).numpy()
    trial = Trial(
        preset=preset,
        candidate=candidate,
        data_set=folder.name,
        seed=seed,
        steps=record.steps,
        seconds=record.seconds,
        image_auroc=auroc(torch.cat([one.scores for one in found]).numpy(), test.defective),
        pixel_auroc=auroc(maps, test.masks),
        aupro=aupro(maps, test.masks),
        doubts=record.doubts,
    )
    write_text(place / "trial.json", trial.model_dump_json(indent=1) + "\n")


@functools.lru_cache(maxsize=2)
def read_test_images(folder: Path, preprocessing: Preprocessing) -> TestImages:
    samples = survey(read_data_set(folder).test)
    reader = SampleReader(samples, preprocessing, Annotation(), Augmentation(), 0)
    every = range(len(samples))
    targets = reader.targets([(index, 0) for index in every])
    return TestImages(
        reader.images(every), targets.masks[:, 0].numpy() > 0, targets.labels.numpy() > 0
    )


def page(trials: Sequence[Trial]) -> str:
    parts = [INTRODUCTION]
    for preset, candidates in CANDIDATES.items():
        of = [trial for trial in trials if trial.preset == preset]
        known = [name for name in candidates if any(t.candidate == name for t in of)]
        if known:
            table = Table.of(known, of)
            parts.append(f"## {preset}\n\n{table.figures()}\n{table.choices()}")
    return "\n".join(parts)


class Table(NamedTuple):
    """Trials of one preset, by (candidate, data set); those of all seeds together."""

    candidates: list[str]
    data_sets: list[str]
    cells: dict[tuple[str, str], list[Trial]]

    @classmethod
    def of(cls, candidates: list[str], trials: Sequence[Trial]) -> Table:
        cells: dict[tuple[str, str], list[Trial]] = {}
        for trial in trials:
            cells.setdefault((trial.candidate, trial.data_set), []).append(trial)
        return cls(candidates, sorted({trial.data_set for trial in trials}), cells)

    def figures(self) -> str:
        heading = ["candidate", *self.data_sets, "mean", "training s"]
        lines = []
        for name in self.candidates:
            cells = [self.cells.get((name, data_set), []) for data_set in self.data_sets]
            every = [trial for cell in cells for trial in cell]
            whole = "-" if not all(cells) else f"{mean(map(self._merit, cells)):.3f}"
            seconds = f"{mean(trial.seconds for trial in every):.0f}"
            lines.append([name, *map(_shown, cells), whole, seconds])
        return markdown_table(heading, lines)

    def choices(self) -> str:
        """Chooses between the first candidate and each other one, for each data set by the rest."""
        first = self.candidates[0]
        lines = [
            line
            for other in self.candidates[1:]
            for line in self._confirmed(
                first,
                other,
                [
                    d
                    for d in self.data_sets
                    if (first, d) in self.cells and (other, d) in self.cells
                ],
            )
        ]
        heading = [
            "against the first",
            "confirmed on",
            "chosen by the rest",
            "has",
            "the other has",
        ]
        return markdown_table(heading, lines) if lines else ""

    def _confirmed(self, first: str, other: str, data_sets: list[str]) -> list[list[str]]:
        lines = []
        for left_out in data_sets if len(data_sets) > 1 else []:
            merits = {
                name: mean(self._merit(self.cells[name, d]) for d in data_sets if d != left_out)
                for name in (first, other)
            }
            chosen, rejected = sorted((first, other), key=merits.__getitem__, reverse=True)
            shown = [_shown(self.cells[name, left_out]) for name in (chosen, rejected)]
            lines.append([other, left_out, chosen, *shown])
        return lines

    @staticmethod
    def _merit(cell: Sequence[Trial]) -> float:
        return mean(trial.merit for trial in cell)


def _shown(cell: Sequence[Trial]) -> str:
    if not cell:
        return "-"
    return f"{mean(t.image_auroc for t in cell):.3f} / {mean(t.aupro for t in cell):.3f}"


if __name__ == "__main__":
    main()
