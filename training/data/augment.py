"""Random changes that a good part may show: rotation, shift, brightness.

They apply to the prepared image, at the model's input size, and to the masks of real defects alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from inspection.config.loading import StrictModel

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.float32]


class Augmentation(StrictModel):
    """Changes drawn anew for each image and epoch; all are off by default.

    Switch on only changes that happen on the line: where parts are always upright, a turned part
    may be faulty.

    Attributes:
        flip_vertical, flip_horizontal: mirrors the image in half of the draws.
        rotations: copies of each image, turned by equal parts of a circle; a draw takes one. Alone,
            it leaves the steps as fast as without: features of a frozen backbone are made once for
            each copy, where `cache_max_bytes` holds them. For parts that lie in any pose.
        quarter_turns: turns by 0, 90, 180 or 270 degrees; needs a square input.
        rotation_deg: turns by up to this angle, either way.
        shift: moves by up to this share of the side, either way and on both axes.
        brightness: multiplies by a factor between 1 - brightness and 1 + brightness.
    """

    flip_vertical: bool = False
    flip_horizontal: bool = False
    rotations: Annotated[int, Field(ge=1, le=360)] = 1
    quarter_turns: bool = False
    rotation_deg: Annotated[float, Field(ge=0, le=180)] = 0.0
    shift: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    brightness: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @property
    def is_off(self) -> bool:
        """Returns True when images stay unchanged."""
        return self == Augmentation()

    @property
    def has_fixed_copies(self) -> bool:
        """Returns True when an image has no other views than its `rotations` copies."""
        return self.model_copy(update={"rotations": 1}).is_off

    def draw(self) -> Change:
        """Draws a change with torch's random numbers."""
        if self.is_off:
            return Change()
        turn = turned(self.draw_copy(), self.rotations)
        if self.has_fixed_copies:
            return turn
        unit = torch.rand(7).tolist()
        return Change(
            flip_vertical=self.flip_vertical and unit[0] < 0.5,
            flip_horizontal=self.flip_horizontal and unit[1] < 0.5,
            quarter_turns=int(4 * unit[2]) if self.quarter_turns else 0,
            rotation_deg=turn.rotation_deg + self.rotation_deg * (2 * unit[3] - 1),
            shift=(self.shift * (2 * unit[4] - 1), self.shift * (2 * unit[5] - 1)),
            gain=1 + self.brightness * (2 * unit[6] - 1),
        )

    def draw_copy(self) -> int:
        """Draws the number of a copy with torch's random numbers; 0 is the image as it is."""
        return 0 if self.rotations == 1 else int(torch.randint(self.rotations, ()))


class Change(NamedTuple):
    """One drawn change; `shift` is (down, right) in shares of the sides."""

    flip_vertical: bool = False
    flip_horizontal: bool = False
    quarter_turns: int = 0
    rotation_deg: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)
    gain: float = 1.0

    def of_image(self, image: Image) -> Image:
        """Returns the changed image (H, W, C)."""
        moved = self._moved(image, cv2.INTER_LINEAR)
        if self.gain == 1.0:
            return moved
        return cv2.convertScaleAbs(moved, alpha=self.gain).astype(np.uint8)

    def of_mask(self, mask: Mask) -> Mask:
        """Returns the changed mask (H, W), or weights."""
        return self._moved(mask, cv2.INTER_NEAREST)

    def _moved(self, array: npt.NDArray[Any], how: int) -> npt.NDArray[Any]:
        axes = (0,) * self.flip_vertical + (1,) * self.flip_horizontal
        array = np.rot90(np.flip(array, axes), self.quarter_turns)
        if self.rotation_deg == 0.0 and self.shift == (0.0, 0.0):
            return np.ascontiguousarray(array)
        height, width = array.shape[:2]
        middle = ((width - 1) / 2, (height - 1) / 2)
        matrix = cv2.getRotationMatrix2D(middle, self.rotation_deg, 1.0)
        matrix[:, 2] += (self.shift[1] * width, self.shift[0] * height)
        # Pixels from outside mirror the border: black corners would look like a defect.
        return cv2.warpAffine(
            np.ascontiguousarray(array),
            matrix,
            (width, height),
            flags=how,
            borderMode=cv2.BORDER_REFLECT_101,
        )


def turned(number: int, rotations: int) -> Change:
    """Returns the change that makes copy `number` of an image with `rotations` copies."""
    return Change(rotation_deg=360 * number / rotations)


def turned_copies(images: Tensor, rotations: int) -> Iterator[Tensor]:
    """Yields uint8 images (N, H, W, 3), and copies turned by equal parts of a circle.

    Pixels from outside mirror the border.
    """
    yield images
    for number in range(1, rotations):
        turn = turned(number, rotations)
        copies = [torch.from_numpy(turn.of_image(image)) for image in images.cpu().numpy()]
        yield torch.stack(copies).to(images.device)
