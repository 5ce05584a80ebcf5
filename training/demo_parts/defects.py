"""Defects of a turned flange, from obvious to hardly visible, each with its exact mask."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from training.demo_parts.scene import Field, Grid, Pose, Random, inside, smooth_noise

_VISIBLE = 0.05  # share of a defect's effect above which a pixel belongs to its mask


@dataclass
class Change:
    """The changes that a defect makes to a part.

    Attributes:
        grey: (H, W) added to the grey levels of the steel.
        tint: (H, W) brown added.
        cut: (H, W) share of the steel that is missing.
        hole_scale: factor on the radius of each bolt hole.
        mask: (H, W) bool.
    """

    grey: Field
    tint: Field
    cut: Field
    mask: npt.NDArray[np.bool_]
    hole_scale: dict[int, float] = field(default_factory=dict)

    @property
    def changes_shape(self) -> bool:
        """Returns True when steel is missing, or fills a hole."""
        return bool(self.hole_scale) or bool(self.cut.any())

    @classmethod
    def none(cls, size: tuple[int, int]) -> Change:
        """Makes the empty change of a good part."""
        grey, tint, cut = (np.zeros(size, np.float32) for _ in range(3))
        return cls(grey, tint, cut, np.zeros(size, np.bool_))


def scratch(random: Random, grid: Grid, pose: Pose) -> Change:
    """Draws a thin bright or dark line, slightly curved."""
    change = Change.none(grid.radius.shape)
    start = _on_face(random, grid, pose)
    heading = random.uniform(0, 2 * math.pi)
    length = random.uniform(0.06, 0.22) * grid.height
    line = _polyline(random, change.grey.shape, start, heading, length, bend=0.05)
    line = np.asarray(cv2.GaussianBlur(line, (0, 0), random.uniform(0.5, 0.9)), np.float32)
    change.grey += line * random.choice([-1, 1]) * random.uniform(45, 130)
    change.mask = line > _VISIBLE
    return change


def dent(random: Random, grid: Grid, pose: Pose) -> Change:
    """Draws a hollow: bright on one side, dark on the other."""
    change = Change.none(grid.radius.shape)
    y, x = _on_face(random, grid, pose)
    radius = random.uniform(0.014, 0.035) * grid.height
    rows, columns = np.indices(change.grey.shape, dtype=np.float32)
    dy, dx = (rows - np.float32(y)) / radius, (columns - np.float32(x)) / radius
    bell = np.exp(-(dy**2 + dx**2) / 0.7)
    change.grey += random.uniform(50, 120) * (dx + 0.6 * dy) * bell
    change.mask = bell > 0.12
    return change


def stain(random: Random, grid: Grid, pose: Pose) -> Change:
    """Draws a brown film with a ragged border."""
    change = Change.none(grid.radius.shape)
    y, x = _on_face(random, grid, pose)
    radius = random.uniform(0.025, 0.07) * grid.height
    rows, columns = np.indices(change.grey.shape, dtype=np.float32)
    distance = np.hypot(rows - np.float32(y), columns - np.float32(x)) / radius
    ragged = distance + 0.25 * smooth_noise(random, change.grey.shape, radius / 2)
    film = np.clip(2 * (1 - ragged), 0, 1).astype(np.float32)
    film *= (distance < 2).astype(np.float32)
    change.tint += film * np.float32(random.uniform(22, 60))
    change.mask = film > _VISIBLE
    return change


def hole(random: Random, grid: Grid, pose: Pose) -> Change:
    """Leaves out a bolt hole, or makes it too small."""
    change = Change.none(grid.radius.shape)
    number = int(random.integers(len(grid.hole_centers(pose))))
    scale = 0.0 if random.random() < 0.4 else random.uniform(0.6, 0.85)
    change.hole_scale[number] = scale
    y, x = grid.hole_centers(pose)[number]
    radius = pose.hole * grid.height
    whole = grid.circle(y, x, radius * 1.3) < 0
    change.mask = whole & (grid.circle(y, x, radius * scale - 2) > 0)
    return change


def chip(random: Random, grid: Grid, pose: Pose) -> Change:
    """Breaks a piece out of the rim."""
    change = Change.none(grid.radius.shape)
    angle, outer = random.uniform(0, 2 * math.pi), pose.outer * grid.height
    radius = random.uniform(0.02, 0.045) * grid.height
    y, x = outer * math.sin(angle), outer * math.cos(angle)
    ragged = grid.circle(y, x, radius) + 0.25 * radius * smooth_noise(
        random, change.grey.shape, radius / 2
    )
    change.cut = inside(ragged) * (grid.circle(y, x, 2 * radius) < 0)
    change.mask = (change.cut > _VISIBLE) & (grid.radius < outer + 1)
    return change


def crack(random: Random, grid: Grid, pose: Pose) -> Change:
    """Draws a dark jagged line that starts at a bolt hole."""
    change = Change.none(grid.radius.shape)
    number = int(random.integers(len(grid.hole_centers(pose))))
    y, x = grid.hole_centers(pose)[number]
    heading = random.uniform(0, 2 * math.pi)
    radius = pose.hole * grid.height * 1.2
    cos, sin = math.cos(pose.angle_rad), math.sin(pose.angle_rad)
    row = pose.center_y * grid.height + cos * y + sin * x
    column = change.grey.shape[1] / 2 + pose.center_x * grid.height - sin * y + cos * x
    start = (row + radius * math.sin(heading), column + radius * math.cos(heading))
    length = random.uniform(0.05, 0.12) * grid.height
    line = _polyline(random, change.grey.shape, start, heading, length, bend=0.6)
    line = np.asarray(cv2.GaussianBlur(line, (0, 0), 0.5), np.float32)
    change.grey -= line * random.uniform(90, 180)
    change.mask = line > _VISIBLE
    return change


DEFECTS: dict[str, Callable[[Random, Grid, Pose], Change]] = {
    "chip": chip,
    "crack": crack,
    "dent": dent,
    "hole": hole,
    "scratch": scratch,
    "stain": stain,
}


def _on_face(random: Random, grid: Grid, pose: Pose) -> tuple[float, float]:
    """Draws a random place (row, column) on the flat face, away from bore and rim."""
    radius = random.uniform(pose.bore * 1.4, pose.outer * 0.88) * grid.height
    angle = random.uniform(0, 2 * math.pi)
    row = pose.center_y * grid.height + radius * math.sin(angle)
    column = grid.radius.shape[1] / 2 + pose.center_x * grid.height + radius * math.cos(angle)
    return row, column


def _polyline(
    random: Random,
    size: tuple[int, ...],
    start: tuple[float, float],
    heading: float,
    length: float,
    *,
    bend: float,
) -> Field:
    """Draws a line (H, W) of 0..1 that turns by about `bend` radians at each of twelve steps."""
    line = np.zeros(size, np.uint8)  # OpenCV draws antialiased on 8 bits only
    points = [start]
    for _ in range(12):
        heading += random.normal(0, bend)
        step = length / 12
        row, column = points[-1]
        points.append((row + step * math.sin(heading), column + step * math.cos(heading)))
    xy = np.array([[(round(16 * column), round(16 * row)) for row, column in points]], np.int32)
    cv2.polylines(line, [xy], isClosed=False, color=255, lineType=cv2.LINE_AA, shift=4)
    return np.asarray(line / 255, np.float32)
