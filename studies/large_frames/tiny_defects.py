"""A data set of drawn parts on large frames, with scratches of a few pixels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from inspection.files import new_directory, write_bytes
from inspection.images import encode_png
from training.demo_parts.dataset import draw_part

Image = npt.NDArray[np.uint8]
FRAME = (1200, 1600)  # height, width, px
THICKNESS = 3  # px of a scratch
_LENGTHS = (20, 60)  # px of a scratch
_CONTRAST = 30  # grey levels by which a scratch is brighter
_GOOD, _TEST_GOOD, _TEST_DEFECTIVE = 24, 15, 20
_TRIES = 1000


def write_tiny_defects(folder: Path) -> None:
    """Writes the data set in MVTec layout, whole; one that is there stays."""
    if folder.exists():
        return
    with new_directory(folder) as new:
        for number in range(_GOOD + _TEST_GOOD):
            split = "train/good" if number < _GOOD else "test/good"
            _write(new / split / f"{number:03}.png", draw_part(number, size=FRAME)[0])
        for number in range(_TEST_DEFECTIVE):
            name = f"{number:03}"
            picture, _ = draw_part(1000 + number, size=FRAME)
            frame, mask = scratched(picture, np.random.default_rng(number))
            _write(new / "test" / "scratch" / f"{name}.png", frame)
            _write(new / "ground_truth" / "scratch" / f"{name}_mask.png", mask)


def scratched(picture: Image, random: np.random.Generator) -> tuple[Image, Image]:
    """Draws a straight scratch that lies on the part, whole.

    Returns:
        the picture, and the mask of the scratch, 0 or 255.
    """
    # The part is brighter than the belt.
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    _, part = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    for _ in range(_TRIES):
        angle, length = random.uniform(0, np.pi), random.uniform(*_LENGTHS)
        start = random.uniform((0, 0), FRAME[::-1])
        end = start + length * np.array([np.cos(angle), np.sin(angle)])
        line = np.zeros(FRAME, np.uint8)
        (x0, y0), (x1, y1) = start.round().astype(int).tolist(), end.round().astype(int).tolist()
        cv2.line(line, (x0, y0), (x1, y1), (255,))
        covered = cv2.dilate(line, np.ones((THICKNESS, THICKNESS), np.uint8)) > 0
        if covered.sum() > _LENGTHS[0] * THICKNESS / 2 and part[covered].all():
            brighter = np.clip(picture[covered].astype(int) + _CONTRAST, 0, 255)
            frame = picture.copy()
            frame[covered] = brighter
            return frame, covered.astype(np.uint8) * 255
    raise ValueError("the part has no room for a scratch")


def _write(path: Path, picture: Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, encode_png(picture))
