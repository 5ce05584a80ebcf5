"""Frames from one process to another, through memory that both map.

The memory is in anonymous files (memfd_create): they have no name that could be left behind, and
are gone with the last process and image that uses them, however that process ended.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import os
import weakref
from collections import deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_SLOTS = 8  # more frames at a time are copied: the pipeline holds up to four, and the archive some


class Slots:
    """The reader's side. It alone knows which slots are free, so a lost writer loses none.

    Attributes:
        files: descriptors of the slots, in their order, for the writer's process.
        next: the slot that the next frame has to be written to.
    """

    def __init__(self) -> None:
        self.files = [os.memfd_create("linewarden-frame") for _ in range(_SLOTS)]
        self.next = 0
        self._free = deque(range(1, _SLOTS))
        self._memories: list[mmap.mmap | None] = [None] * _SLOTS

    def image(self, shape: Sequence[int]) -> npt.NDArray[np.uint8]:
        """The frame in slot `next`; its memory is the caller's until no array uses it any more.

        Args:
            shape: as the writer told it; it has written so many bytes.
        """
        size = math.prod(shape)
        # NumPy keeps what exports a buffer for as long as any view of a view of it lives.
        exported = (ctypes.c_uint8 * size).from_buffer(self._memory(size))
        image = np.frombuffer(memoryview(exported), np.uint8).reshape(shape)
        try:
            following = self._free.pop()  # the last one given back, which is in the cache
        except IndexError:
            return image.copy()
        weakref.finalize(exported, self._free.append, self.next)
        self.next = following
        return image

    def close(self) -> None:
        """Give back the memory; that of images in use when they end."""
        for file in self.files:
            os.close(file)
        self.files, self._memories = [], []

    def _memory(self, size: int) -> mmap.mmap:
        memory = self._memories[self.next]
        if memory is None or len(memory) < size:
            memory = self._memories[self.next] = mmap.mmap(self.files[self.next], size)
        return memory


class SlotWriter:
    """The writer's side.

    Args:
        files: descriptors of the slots, as this process has them.
    """

    def __init__(self, files: Sequence[int]) -> None:
        self._files = files
        self._memories: list[mmap.mmap | None] = [None] * len(files)

    def write(self, slot: int, image: npt.NDArray[np.uint8]) -> None:
        """Copy a frame of any size into a slot that the reader named."""
        memory = self._memories[slot]
        if memory is None or len(memory) < image.nbytes:
            os.ftruncate(self._files[slot], image.nbytes)
            memory = self._memories[slot] = mmap.mmap(self._files[slot], image.nbytes)
        np.copyto(np.frombuffer(memory, np.uint8, image.size).reshape(image.shape), image)
