"""Passes frames from one process to another through shared memory.

The memory is in anonymous files (memfd_create). They have no name to leave behind, and are gone
with the last process and image that use them, even after a crash.
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

# The pipeline holds up to four frames, and the archive some. With no slot free a frame is copied.
_SLOTS = 8


class Slots:
    """The reader's side. It alone counts the free slots, so that a lost writer loses none.

    Attributes:
        files: descriptors of the slots, for the writer's process.
        next: the slot for the next frame.
    """

    def __init__(self) -> None:
        self.files = [os.memfd_create("linewarden-frame") for _ in range(_SLOTS)]
        self.next = 0
        self._free = deque(range(1, _SLOTS))
        self._memories: list[mmap.mmap | None] = [None] * _SLOTS

    def image(self, shape: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Returns the frame in slot `next`; its memory is the caller's until no array uses it.

        Args:
            shape: of the frame that the writer wrote.
        """
        size = math.prod(shape)
        # NumPy keeps the exporter of a buffer alive as long as any view of it.
        exported = (ctypes.c_uint8 * size).from_buffer(self._memory(size))
        image = np.frombuffer(memoryview(exported), np.uint8).reshape(shape)
        try:
            following = self._free.pop()  # the latest one: it is still in the cache
        except IndexError:
            return image.copy()
        weakref.finalize(exported, self._free.append, self.next)
        self.next = following
        return image

    def close(self) -> None:
        """Releases the memory; an image in use keeps its own."""
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
        files: descriptors of the slots in this process.
    """

    def __init__(self, files: Sequence[int]) -> None:
        self._files = files
        self._memories: list[mmap.mmap | None] = [None] * len(files)

    def write(self, slot: int, image: npt.NDArray[np.uint8]) -> None:
        """Copies a frame of any size into a slot that the reader chose."""
        memory = self._memories[slot]
        if memory is None or len(memory) < image.nbytes:
            os.ftruncate(self._files[slot], image.nbytes)
            memory = self._memories[slot] = mmap.mmap(self._files[slot], image.nbytes)
        np.copyto(np.frombuffer(memory, np.uint8, image.size).reshape(image.shape), image)
