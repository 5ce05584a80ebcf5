"""Learning without optimisation steps: every good image once, and images that come and go later."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch

from inspection.errors import ConfigError
from inspection.names import printable
from training.config import TrainConfig
from training.data.samples import SampleReader
from training.models.base import ClosedFormModel, LearntImage

KEPT_BYTES = 256_000_000  # features of 300 images of 256x256 px by resnet18


class Views:
    """Features of all views of each image, those of the first images kept in memory.

    Images pass one by one: in a batch, a convolution may round differently, and an image that is
    added later would give another model.

    Args:
        model: on `device`.
        max_bytes: limit of the kept features; those of other images are extracted each time.
    """

    def __init__(
        self, model: ClosedFormModel, reader: SampleReader, device: torch.device, max_bytes: int
    ) -> None:
        self._model, self._reader, self._device = model, reader, device
        self._room = max_bytes
        self._kept: dict[int, LearntImage] = {}

    def __len__(self) -> int:
        return len(self._reader)

    def name(self, number: int) -> str:
        """Returns the file name of an image."""
        return printable(self._reader.samples[number].sample.path.name)

    def image(self, number: int) -> npt.NDArray[np.uint8]:
        """Returns an image as the model sees it, (H, W, 3) BGR."""
        return self._reader.images([number])[0].numpy()

    def of(self, number: int) -> LearntImage:
        """Returns an image of the reader."""
        if number in self._kept:
            return self._kept[number]
        views = self._model.views(self._reader.images([number]))
        image = LearntImage(number, [self._model.extract(v.to(self._device)) for v in views])
        size = sum(layer.nbytes for features in image.views for layer in features)
        if size <= self._room:
            self._room -= size
            self._kept[number] = image
        return image


def learn_images(model: ClosedFormModel, views: Views, *, removed: Iterable[int] = ()) -> None:
    """Adds all images to the model, then computes the model.

    Args:
        model: it may have learnt other images before.
        removed: numbers of images to remove instead, which the model has learnt before.

    Raises:
        CameraError: the images do not define a model.
    """
    leaving = frozenset(removed)
    for number in range(len(views)):
        for features in views.of(number).views:
            if number in leaving:
                model.unlearn(features)
            else:
                model.learn(features)
    model.solve()


def refuse_no_hold_out(config: TrainConfig) -> None:
    """Raises ConfigError when a model of optimisation steps leaves no images for calibration."""
    if config.data.hold_out == 0:
        raise ConfigError(
            f"data.hold_out 0: {config.model.name} cannot forget a learnt image to judge it; hold "
            "some out, 0.2 for instance, or take the model subspace"
        )


def refuse_unused_settings(config: TrainConfig) -> None:
    """Raises ConfigError for settings of optimisation steps, which a closed form does not take."""
    name = config.model.name
    if not config.data.augment.is_off:
        raise ConfigError(
            f"data.augment: {name} sees each image once and draws no changes; remove it"
            + ("; model.rotations turns the images" if hasattr(config.model, "rotations") else "")
        )
