"""Surveyed files as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from inspection.preprocess import Preprocessing, preprocess
from training.data.augment import Augmentation, Change, turned
from training.data.masks import Annotation, dilate, distance_weights, read_mask, shrink
from training.data.order import Draw
from training.data.survey import SurveyedSample

# Views of a defective part: unchanged, vertical flip, horizontal flip, half a turn.
FLIPS = (
    Change(),
    Change(flip_vertical=True),
    Change(flip_horizontal=True),
    Change(flip_vertical=True, flip_horizontal=True),
)


class Targets(NamedTuple):
    """Labels, masks and weights of a batch of images; all float32.

    Attributes:
        labels: (N,) 1 for a part with a real defect.
        masks: (N, 1, H, W) 1 on defects, at the model's input size.
        weights: (N, 1, H, W) weight of each pixel in pixel losses.
        segmented: (N,) 1 when the mask is reliable: good parts, and defects with a drawn mask.
    """

    labels: Tensor
    masks: Tensor
    weights: Tensor
    segmented: Tensor


class SampleReader:
    """Reads samples for a model, and keeps prepared images in memory within a limit.

    Args:
        samples: surveyed files.
        preprocessing: from frames to model inputs.
        annotation: preparation of masks of real defects.
        augmentation: random changes, drawn anew for each step.
        max_bytes: limit of the prepared images in memory; the reader reads the others again.
    """

    def __init__(
        self,
        samples: Sequence[SurveyedSample],
        preprocessing: Preprocessing,
        annotation: Annotation,
        augmentation: Augmentation,
        max_bytes: int,
    ) -> None:
        self.samples = samples
        self._preprocessing = preprocessing
        self._annotation = annotation
        self._augmentation = augmentation
        self._room = max_bytes // max(1, preprocessing.height * preprocessing.width * 3)
        self._kept: dict[int, npt.NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def copies(self) -> int:
        """Returns the number of fixed views of a sample; 0 when every draw gives another."""
        return self._augmentation.rotations if self._augmentation.has_fixed_copies else 0

    def draw_copy(self) -> int:
        """Draws the number of a fixed view."""
        return self._augmentation.draw_copy()

    def images(self, indices: Sequence[int], copy: int = 0) -> Tensor:
        """Returns model inputs (N, H, W, 3) uint8 BGR, prepared as on the line.

        Args:
            copy: number of the fixed view; 0 is the image as it is.
        """
        change = turned(copy, self._augmentation.rotations)
        images = [change.of_image(self._image(index)) for index in indices]
        return torch.from_numpy(np.stack(images))

    def batch(self, draw: Draw) -> tuple[Tensor, Targets]:
        """Returns flipped and augmented training images with their targets."""
        changes = [self._augmentation.draw() for _ in draw]
        images = [
            change.of_image(FLIPS[flip].of_image(self._image(index)))
            for (index, flip), change in zip(draw, changes, strict=True)
        ]
        return torch.from_numpy(np.stack(images)), self.targets(draw, changes)

    def targets(self, draw: Draw, changes: Sequence[Change] | None = None) -> Targets:
        """Returns labels, masks and pixel weights of the same samples."""
        size = (self._preprocessing.height, self._preprocessing.width)
        masks = torch.zeros(len(draw), 1, *size)
        weights = torch.ones(len(draw), 1, *size)
        for row, (index, flip) in enumerate(draw):
            if self.samples[index].sample.mask is not None:
                change = changes[row] if changes is not None else Change()
                views = [change.of_mask(FLIPS[flip].of_mask(a)) for a in self._mask(index)]
                masks[row, 0], weights[row, 0] = (torch.from_numpy(view) for view in views)
        chosen = [self.samples[index].sample for index, _ in draw]
        labels = torch.tensor([float(not sample.is_good) for sample in chosen])
        segmented = torch.tensor([float(s.is_good or s.mask is not None) for s in chosen])
        return Targets(labels, masks, weights, segmented)

    def _image(self, index: int) -> npt.NDArray[np.uint8]:
        if index in self._kept:
            return self._kept[index]
        image = preprocess(self.samples[index].read(), self._preprocessing)
        if len(self._kept) < self._room:
            self._kept[index] = image
        return image

    def _mask(self, index: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Returns mask and weights (H, W) at input size, prepared at native size first."""
        surveyed, annotation = self.samples[index], self._annotation
        assert surveyed.sample.mask is not None  # noqa: S101 - the caller checked
        mask = dilate(read_mask(surveyed.sample.mask, surveyed.size), annotation.dilation)
        weights = np.ones(mask.shape, np.float32)
        if annotation.distance_weight is not None:
            weights = distance_weights(mask, annotation.distance_weight, annotation.distance_power)
        crop = self._preprocessing.crop
        if crop is not None:
            mask, weights = crop.of(mask), crop.of(weights)
        return shrink(mask, weights, (self._preprocessing.height, self._preprocessing.width))
