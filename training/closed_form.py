"""Learning without optimisation steps: every good image once, and images that come and go later."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from inspection.errors import ConfigError
from training.config import TrainConfig
from training.data.samples import SampleReader
from training.models.base import ClosedFormModel


def learn_images(
    model: ClosedFormModel,
    reader: SampleReader,
    device: torch.device,
    *,
    removed: Iterable[int] = (),
) -> None:
    """Adds all images of `reader` to the model, then computes the model.

    Images pass one by one: in a batch, a convolution may round differently, and an image that is
    added later would give another model.

    Args:
        model: on `device`; it may have learnt other images before.
        removed: indices of images to remove instead, which the model has learnt before.

    Raises:
        CameraError: the images do not define a model.
    """
    leaving = frozenset(removed)
    for index in range(len(reader)):
        for view in model.views(reader.images([index])):
            features = model.extract(view.to(device))
            if index in leaving:
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
