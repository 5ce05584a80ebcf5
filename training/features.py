"""Features of samples, kept in memory when the model allows it and they fit."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from training.data.order import Draw, batches
from training.data.samples import SampleReader, Targets
from training.models.base import AnomalyModel, Features

_EXTRACT_BATCH = 8
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc, malloc.h
_LARGEST_BLOCK = 1 << 30


class FeatureSource:
    """Features and targets of samples on one device.

    Args:
        model: already on `device`.
        max_bytes: limit of the features in memory, on the CPU.
    """

    def __init__(
        self, model: AnomalyModel, reader: SampleReader, device: torch.device, max_bytes: int
    ) -> None:
        self._model, self._reader, self._device = model, reader, device
        self._kept: list[Tensor] | None = None
        if model.cacheable and reader.copies:
            one = self._extract([0])
            views = len(reader) * reader.copies
            if views * sum(layer.nbytes for layer in one) <= max_bytes:
                self._kept = self._extract_all(one)

    def batch(self, draw: Draw) -> tuple[Features, Targets]:
        """Returns features and targets of (sample, flip) pairs."""
        if self._kept is not None:
            count = len(self._reader)
            indices = [index + count * self._reader.draw_copy() for index, _ in draw]
            targets = self._reader.targets(draw)
            features = tuple(layer[indices].to(self._device) for layer in self._kept)
        else:
            images, targets = self._reader.batch(draw)
            features = self._model.extract(images.to(self._device))
        return features, Targets(*(target.to(self._device) for target in targets))

    def all_good(self) -> Iterator[Features]:
        """Yields features of the good samples, in order, without augmentation."""
        good = [i for i, sample in enumerate(self._reader.samples) if sample.sample.is_good]
        for part in batches([(index, 0) for index in good], _EXTRACT_BATCH):
            indices = [index for index, _ in part]
            if self._kept is not None:
                yield tuple(layer[indices].to(self._device) for layer in self._kept)
            else:
                yield self._extract(indices)

    def _extract(self, indices: list[int], copy: int = 0) -> Features:
        return self._model.extract(self._reader.images(indices, copy).to(self._device))

    def _extract_all(self, one: Features) -> list[Tensor]:
        """Returns the layers of all images, then those of all second copies and so on."""
        # Allocated once: a join afterwards would take the memory twice, on the device too.
        count, copies = len(self._reader), self._reader.copies
        kept = [torch.empty(count * copies, *layer.shape[1:]) for layer in one]
        for copy, start in itertools.product(range(copies), range(0, count, _EXTRACT_BATCH)):
            indices = list(range(start, min(start + _EXTRACT_BATCH, count)))
            place = slice(copy * count + start, copy * count + indices[-1] + 1)
            for whole, layer in zip(kept, self._extract(indices, copy), strict=True):
                whole[place] = layer.cpu()
        return kept


def keep_freed_memory() -> None:
    """Lets the C library reuse freed blocks instead of returning them to the kernel.

    A step allocates and frees tensors of tens of megabytes. Without this, page faults take half of
    the time of a step on a CPU (tests/bench/bench_training.py).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK)
        mallopt(_M_TRIM_THRESHOLD, _LARGEST_BLOCK)
