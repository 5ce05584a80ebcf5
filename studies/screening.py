"""How often the screening of learnt good images names a defective part among them.

::

    python -m studies.screening DATA... [--good 40] [--draws 8]

Each draw hides one defective test image among good ones that configs/train/subspace.yaml learns,
and screens them as a training does. The table counts the draws that name it, the good images that
stand out beside it, and those that stand out without any defective one. LINEWARDEN_WEIGHTS names
the weights of the backbone.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from inspection.preprocess import Preprocessing
from linewarden.parser import Parser
from linewarden.training_run import load_train_config
from training.checkpoint import build_model
from training.closed_form import KEPT_BYTES, Views, learn_images
from training.config import TrainConfig
from training.data.data_set import Sample
from training.data.layout import read_data_set
from training.data.samples import SampleReader
from training.data.survey import survey
from training.models.base import ClosedFormModel
from training.screening import screen

CONFIG = Path(__file__).parents[1] / "configs" / "train" / "subspace.yaml"
HELD_OUT = 6


def main() -> None:
    parser = Parser(
        prog="python -m studies.screening",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data", nargs="+", type=Path, metavar="DATA", help="data sets")
    parser.add_argument("--good", type=int, default=40, help="learnt, at most: %(default)s")
    parser.add_argument("--draws", type=int, default=8, help="default: %(default)s")
    args = parser.parse_args()
    print("| data | good images | named | good ones beside it | good ones without it |")
    print("|---|---|---|---|---|")
    for folder in args.data:
        print(row(folder, args.good, args.draws), flush=True)


def row(folder: Path, most: int, draws: int) -> str:
    """Returns the line of a data set."""
    config = load_train_config(CONFIG, [f"data.folder={folder.resolve()}"], default_weights=True)
    model = build_model(config)
    assert isinstance(model, ClosedFormModel)
    empty = {key: value.clone() for key, value in model.state_dict().items()}
    data = read_data_set(folder)
    defective = [sample for sample in data.test if not sample.is_good]
    found, beside, without = 0, 0, 0
    for draw in range(draws):
        random = np.random.default_rng(draw)
        order = random.permutation(len(data.good)).tolist()
        held_out = [data.good[number] for number in order[:HELD_OUT]]
        learnt = [data.good[number] for number in order[HELD_OUT : HELD_OUT + most]]
        hidden = defective[int(random.integers(len(defective)))]
        model.load_state_dict(empty)
        numbers = standing_out(model.eval(), config, [*learnt, hidden], held_out)
        found += len(learnt) in numbers
        beside += len(numbers - {len(learnt)})
        model.load_state_dict(empty)
        without += len(standing_out(model.eval(), config, learnt, held_out))
    count = min(most, len(data.good) - HELD_OUT)
    return f"| {folder.name} | {count} | {found} of {draws} | {beside} | {without} |"


@torch.no_grad()
def standing_out(
    model: ClosedFormModel,
    config: TrainConfig,
    learnt: Sequence[Sample],
    held_out: Sequence[Sample],
) -> set[int]:
    """Learns images and returns the numbers of those that stand out."""
    views = _views(model, config, learnt)
    learn_images(model, views)
    screening = screen(model, views, lambda: _views(model, config, held_out))
    found = screening.remarkable
    return {one.number for one in found.outliers} if found is not None else set()


def _views(model: ClosedFormModel, config: TrainConfig, samples: Sequence[Sample]) -> Views:
    surveyed = survey(samples)
    preprocessing = Preprocessing(
        frame_height=(1, 4000),
        frame_width=(1, 4000),
        channels=1 if surveyed[0].channels == 1 else 3,
        height=config.data.image_size[0],
        width=config.data.image_size[1],
    )
    reader = SampleReader(surveyed, preprocessing, model.annotation, config.data.augment, 0)
    return Views(model, reader, torch.device("cpu"), KEPT_BYTES)


if __name__ == "__main__":
    main()
