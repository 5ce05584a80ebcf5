"""The window: the digital numbers of a deep image that become 0 and 255 of an 8-bit image."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

Deep = npt.NDArray[np.uint16]

MARK = "Linewarden-Window"
"""Keyword of the PNG text that holds the window of an image which was converted by one."""

_AT_ONCE = 1 << 16  # pixels: their indices stay in the cache of the processor


class Window(BaseModel):
    """Converts 10 to 16 bits to 8, linearly, without gamma.

    Attributes:
        low: digital number that becomes 0, like all below.
        high: digital number that becomes 255, like all above.
    """

    HIGHEST: ClassVar[int] = 65535
    model_config = ConfigDict(extra="forbid", frozen=True)

    low: Annotated[int, Field(ge=0, lt=HIGHEST)]
    high: Annotated[int, Field(gt=0, le=HIGHEST)]

    @model_validator(mode="after")
    def _is_in_order(self) -> Window:
        if self.low >= self.high:
            raise ValueError(f"low {self.low} should be below high {self.high}")
        return self

    def __str__(self) -> str:
        return f"{self.low} to {self.high}"

    def apply(self, pixels: Deep) -> npt.NDArray[np.uint8]:
        """Converts an image of any shape; half a step rounds up.

        Returns:
            uint8 of the same shape, C-contiguous, owned by the caller.
        """
        image = np.empty(pixels.shape, np.uint8)
        table, source, target = _table(self), pixels.reshape(-1), image.reshape(-1)
        indices = np.empty(min(_AT_ONCE, source.size), np.intp)
        for start in range(0, source.size, _AT_ONCE):
            part = source[start : start + _AT_ONCE]
            np.copyto(indices[: part.size], part)
            # "clip" writes into `out` directly; no uint16 is outside the table.
            np.take(table, indices[: part.size], out=target[start : start + part.size], mode="clip")
        return image

    def text(self) -> str:
        """Returns the window as the text of a PNG."""
        return f"{self.low} {self.high}"

    @classmethod
    def from_text(cls, text: str) -> Window:
        """Parses the text of a PNG.

        Raises:
            ValueError: it is not the text of a window.
        """
        low, high = text.split()
        return cls(low=int(low), high=int(high))


@lru_cache(maxsize=8)
def _table(window: Window) -> npt.NDArray[np.uint8]:
    """Returns the result of each uint16, in whole numbers: no processor rounds them otherwise."""
    span = window.high - window.low
    above = np.clip(np.arange(Window.HIGHEST + 1, dtype=np.int64) - window.low, 0, span)
    return ((2 * 255 * above + span) // (2 * span)).astype(np.uint8)
