"""Compare the image scores of GANomaly and DifferNet with simpler ones.

    python -m studies.image_scores RUN...

The study takes finished runs of the two models and prints the image AUROC on the test images of
their data set. GANomaly: the trained score, the maximum of the map, and the contrast of the
prepared image, which needs no training. DifferNet: the trained flow, and a Gaussian that fits the
same vectors in closed form, its covariance shrunk by 1 %.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from inspection.images import read_image
from inspection.preprocess import Preprocessing, preprocess
from linewarden.parser import Parser
from training.checkpoint import RunRecord, load_run
from training.data.data_set import Sample
from training.data.layout import read_data_set
from training.metrics import auroc
from training.models import differnet, ganomaly
from training.models.differnet import pyramid

SHRINKAGE = 0.01


def main() -> None:
    parser = Parser(
        prog="python -m studies.image_scores",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="finished runs")
    print("| run | score | image AUROC |")
    print("|---|---|---|")
    for run in parser.parse_args().runs:
        record, model = load_run(run)
        data = read_data_set(record.config.data.folder)
        test = prepared(data.test, record.preprocessing)
        defective = np.array([not sample.is_good for sample in data.test])
        with torch.no_grad():
            if isinstance(model, ganomaly.Model):
                scores = of_ganomaly(model, test)
            elif isinstance(model, differnet.Model):
                scores = of_differnet(model, fitted(data.good, record), test)
            else:
                raise SystemExit(f"{run}: neither GANomaly nor DifferNet")
        for name, values in scores.items():
            print(f"| {run} | {name} | {auroc(values.double().numpy(), defective):.3f} |")


def of_ganomaly(model: ganomaly.Model, test: Tensor) -> dict[str, Tensor]:
    prediction = model(test)
    (image,) = model.extract(test)
    return {
        "as trained": prediction.scores,
        "maximum of the map": prediction.maps.amax((1, 2)),
        "contrast of the image": image.std((1, 2, 3)),
    }


def of_differnet(model: differnet.Model, good: Tensor, test: Tensor) -> dict[str, Tensor]:
    learnt, seen = vectors(model, good), vectors(model, test)
    z, _ = model.flow(seen.flatten(0, 1))
    flat = learnt.flatten(0, 1).double()
    deviation = flat - flat.mean(0)
    covariance = deviation.T @ deviation / len(flat)
    covariance += SHRINKAGE * covariance.diagonal().mean() * torch.eye(len(covariance))
    away = seen.double() - flat.mean(0)
    distance = (away @ torch.linalg.inv(covariance) * away).sum(2).mean(1)
    return {"as trained": z.square().mean(1).reshape(seen.shape[:2]).mean(1), "Gaussian": distance}


def vectors(model: differnet.Model, images: Tensor) -> Tensor:
    """Returns the vectors (N, T, D) of the copies that inference makes."""
    turned = [
        differnet.pooled(
            pyramid(model.backbone, model.turn(part).flatten(0, 1), model.config.scales)
        )
        for part in images.split(8)
    ]
    return torch.cat(turned).reshape(len(images), model.turn.count, -1)


def fitted(good: Sequence[Sample], record: RunRecord) -> Tensor:
    held_out = {held.path for held in record.held_out}
    return prepared([s for s in good if s.path.resolve() not in held_out], record.preprocessing)


def prepared(samples: Sequence[Sample], preprocessing: Preprocessing) -> Tensor:
    frames = [preprocess(read_image(sample.path), preprocessing) for sample in samples]
    return torch.from_numpy(np.stack(frames))


if __name__ == "__main__":
    main()
