"""A turned flange on a conveyor, as one camera sees it; every good part is a little different.

Shapes are signed distance fields in pixels, negative inside, so that edges are antialiased.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]  # (H, W)
Random = np.random.Generator

HOLES = 6
_RING_CYCLES = 90


@dataclass(frozen=True)
class Pose:
    """Position of the part; lengths are shares of the image height."""

    center_y: float
    center_x: float
    angle_rad: float
    outer: float
    bore: float
    hole: float
    hole_circle: float

    @classmethod
    def draw(cls, random: Random) -> Pose:
        """Draws a pose within the tolerance of a fixture."""
        return cls(
            center_y=0.5 + random.normal(0, 0.008),
            center_x=random.normal(0, 0.008),
            angle_rad=random.normal(0, math.radians(2.5)),
            outer=0.42 * (1 + random.normal(0, 0.003)),
            bore=0.13 * (1 + random.normal(0, 0.004)),
            hole=0.038,
            hole_circle=0.29,
        )


@dataclass(frozen=True)
class Light:
    """Ring light and camera; brightness in grey levels."""

    level: float
    gradient_y: float
    gradient_x: float
    glint: float
    glint_angle_rad: float
    white_balance: tuple[float, float, float]
    blur_px: float
    noise: float

    @classmethod
    def draw(cls, random: Random) -> Light:
        """Draws the drift over a shift of work."""
        blue, red = random.normal(1, 0.015, 2)
        return cls(
            level=random.normal(1, 0.035),
            gradient_y=random.normal(0, 0.05),
            gradient_x=random.normal(0, 0.05),
            glint=random.uniform(26, 40),
            glint_angle_rad=random.normal(0.6, 0.06),
            white_balance=(float(blue), 1.0, float(red)),
            blur_px=random.uniform(0.4, 0.8),
            noise=random.uniform(1.2, 2.0),
        )


@dataclass(frozen=True)
class Grid:
    """Coordinates (H, W) of one image in pixels, relative to the part.

    Attributes:
        y, x: turned with the part.
        radius, angle: polar, angle in the image's frame.
    """

    height: int
    y: Field
    x: Field
    radius: Field
    angle: Field

    @classmethod
    def of(cls, size: tuple[int, int], pose: Pose) -> Grid:
        """Makes the coordinates for an image of `size` (height, width)."""
        height, width = size
        y, x = np.mgrid[:height, :width].astype(np.float32)
        y -= np.float32(pose.center_y * height)
        x -= np.float32(width / 2 + pose.center_x * height)
        cos, sin = np.float32(math.cos(pose.angle_rad)), np.float32(math.sin(pose.angle_rad))
        return cls(height, cos * y - sin * x, sin * y + cos * x, np.hypot(x, y), np.arctan2(y, x))

    def hole_centers(self, pose: Pose) -> list[tuple[float, float]]:
        """Returns the centres (y, x) of the bolt holes in turned coordinates."""
        radius = pose.hole_circle * self.height
        angles = (2 * math.pi * k / HOLES for k in range(HOLES))
        return [(radius * math.sin(a), radius * math.cos(a)) for a in angles]

    def circle(self, y: float, x: float, radius: float) -> Field:
        """Returns the signed distance to a circle in turned coordinates."""
        away = np.hypot(self.y - np.float32(y), self.x - np.float32(x))
        return np.asarray(away - radius, np.float32)


def inside(distance: Field) -> Field:
    """Returns the coverage 0..1 of each pixel by a shape."""
    return np.asarray(np.clip(0.5 - distance, 0, 1), np.float32)


def smooth_noise(random: Random, size: tuple[int, int], cell_px: float) -> Field:
    """Draws noise with structures of about `cell_px`, standard deviation about 1."""
    height, width = (max(2, math.ceil(n / cell_px) + 1) for n in size)
    coarse = random.standard_normal((height, width), dtype=np.float32)
    fine = cv2.resize(coarse, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(fine, np.float32)


def conveyor(random: Random, size: tuple[int, int]) -> Field:
    """Draws the grey levels of a dark woven belt."""
    weave = np.indices(size).sum(0) % 4 < 2
    return np.asarray(
        42 + 4 * weave + 3 * smooth_noise(random, size, 60) + 2 * smooth_noise(random, size, 3),
        np.float32,
    )


def steel(random: Random, grid: Grid, pose: Pose, light: Light) -> Field:
    """Draws the grey levels of the turned face: grooves, their glint, harmless marks."""
    size = grid.radius.shape
    outer = pose.outer * grid.height
    grooves = smooth_noise(random, (1, 4 * _RING_CYCLES), 2)[0]
    position = np.clip(grid.radius / outer * (4 * _RING_CYCLES - 1), 0, 4 * _RING_CYCLES - 1)
    ring = np.interp(position, np.arange(4 * _RING_CYCLES), grooves).astype(np.float32)
    glint = np.cos(grid.angle - light.glint_angle_rad) ** 8
    face = 138 + 5 * ring + light.glint * glint * (1 + 0.25 * ring)
    face += 2.5 * smooth_noise(random, size, 40) + 1.5 * smooth_noise(random, size, 2)
    return np.asarray(face + _harmless_marks(random, size), np.float32)


def _harmless_marks(random: Random, size: tuple[int, int]) -> Field:
    """Draws dust and faint handling marks that a good part has."""
    dust, rubs = np.zeros(size, np.uint8), np.zeros(size, np.uint8)  # 8 bits: antialiased
    for _ in range(random.poisson(14)):
        center = [int(16 * random.uniform(0, n)) for n in (size[1], size[0])]
        cv2.circle(dust, center, int(16 * random.uniform(0.4, 0.9)), 255, -1, cv2.LINE_AA, 4)
    for _ in range(random.poisson(3)):
        start = random.uniform(0, (size[1], size[0]))
        end = start + random.normal(0, 14, 2)
        shade = int(random.uniform(60, 255))
        cv2.line(rubs, start.astype(int).tolist(), end.astype(int).tolist(), shade, 1, cv2.LINE_AA)
    marks = -14 * dust.astype(np.float32) - 5 * rubs.astype(np.float32)
    return np.asarray(cv2.GaussianBlur(marks / 255, (0, 0), 0.6), np.float32)


def expose(random: Random, scene: Field, tint: Field, light: Light) -> npt.NDArray[np.uint8]:
    """Exposes grey levels (H, W) with a brown tint (H, W): uint8 (H, W, 3) BGR."""
    height, width = scene.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    shade = light.level * (1 + light.gradient_y * y + light.gradient_x * x)
    shade *= 1 - 0.12 * (y**2 + x**2)
    lit = cv2.GaussianBlur(scene * shade, (0, 0), light.blur_px)
    brown = cv2.GaussianBlur(tint * shade, (0, 0), light.blur_px)
    colours = [lit + 4 - 1.0 * brown, lit - 0.7 * brown, lit - 3 - 0.4 * brown]
    image = np.stack(colours, axis=2) * np.array(light.white_balance, np.float32)
    sigma = light.noise * np.sqrt(np.clip(image, 1, None) / 100)
    noisy = image + sigma * random.standard_normal(image.shape, dtype=np.float32)
    return np.asarray(np.clip(np.rint(noisy), 0, 255), np.uint8)
