"""Few good images: the model learns all of them, and each is judged by a model without it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from inspection.bundle.calibration_file import Judged
from inspection.engine import Prediction
from training.checkpoint import RunRecord
from training.closed_form import Views
from training.data.augment import Change
from training.data.samples import SampleReader
from training.data.survey import survey_again
from training.models.base import AnomalyModel, ClosedFormModel, Features, LearntImage

_MIRRORED = (
    Change(flip_horizontal=True),
    Change(flip_vertical=True),
    Change(flip_horizontal=True, flip_vertical=True),
)


class Judgement(NamedTuple):
    """Predictions of batch 1 for learnt images, by SHA-256 of the file, and their judge."""

    judged: Judged | None
    predictions: dict[str, Prediction]


def judge_learnt(record: RunRecord, model: AnomalyModel) -> Judgement:
    """Judges the images of a run that holds none out, each once by a model without it.

    The images pass the backbone once. A single image is judged by its mirrored copies, since no
    model is left without it.

    Returns:
        no predictions for a run that holds images out.

    Raises:
        CameraError: an image is gone or has another content, or the others show nothing.
    """
    if not record.judged_in_turn or not isinstance(model, ClosedFormModel):
        return Judgement(None, {})
    files = record.judged_in_turn
    reader = SampleReader(
        survey_again([(file.path, file.sha256) for file in files], record.preprocessing.window),
        record.preprocessing,
        model.annotation,
        record.config.data.augment,
        max_bytes=0,
    )
    if len(files) == 1:
        prediction = mirrored_prediction(model, reader.images([0]))
        return Judgement("mirrored", {files[0].sha256: prediction})
    views = Views(model, reader, torch.device("cpu"), max_bytes=0)
    found = predictions_without(model, ([views.of(number)] for number in range(len(files))))
    hashes = (file.sha256 for file in files)
    return Judgement("without_itself", dict(zip(hashes, found, strict=True)))


@torch.no_grad()
def predictions_without(
    model: ClosedFormModel, groups: Iterable[Sequence[LearntImage]]
) -> Iterator[Prediction]:
    """Yields the prediction for each learnt image by a model without the images of its group.

    Args:
        model: on the CPU; it knows more images than those of a group.
    """
    for group in groups:
        others = model.without(group)
        for image in group:
            yield _prediction(others, image.views[0])


@torch.no_grad()
def mirrored_prediction(model: ClosedFormModel, image: Tensor) -> Prediction:
    """Returns the prediction for the mirrored copy of an image with the highest score.

    Args:
        model: on the CPU.
        image: model input (1, H, W, 3) uint8.
    """
    copies = [torch.from_numpy(change.of_image(image[0].numpy())) for change in _MIRRORED]
    found = [_prediction(model, model.extract(one[None])) for one in copies]
    return max(found, key=lambda prediction: float(prediction.scores[0]))


def _prediction(model: ClosedFormModel, features: Features) -> Prediction:
    prediction = model.predict(features)
    return Prediction(prediction.scores.float().numpy(), prediction.maps.float().numpy())
