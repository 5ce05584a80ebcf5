"""Drawing parts, and data sets of them in MVTec layout."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from inspection.errors import ConfigError
from inspection.files import new_directory
from inspection.images import encode_png
from training.demo_parts.defects import DEFECTS, Change
from training.demo_parts.scene import (
    Field,
    Grid,
    Light,
    Pose,
    Random,
    conveyor,
    expose,
    inside,
    steel,
)

Image = npt.NDArray[np.uint8]
SIZE = (480, 640)


def draw_part(
    seed: int | np.random.SeedSequence, defect: str | None = None, size: tuple[int, int] = SIZE
) -> tuple[Image, Image]:
    """Draws one part.

    Args:
        seed: of everything random in the part; a part is the same with and without its defect.
        defect: a name of `DEFECTS`, or None for a good part.
        size: (height, width); the part fills most of the height.

    Returns:
        the picture, uint8 (H, W, 3) BGR, and the mask of the defect, uint8 (H, W), 0 or 255.

    Raises:
        ConfigError: unknown defect.
    """
    if defect is not None and defect not in DEFECTS:
        raise ConfigError(f"unknown defect {defect!r}: known are {', '.join(DEFECTS)}")
    if not isinstance(seed, np.random.SeedSequence):
        seed = np.random.SeedSequence(seed)
    # One stream per purpose: a defect does not change the rest of its part.
    of_part, of_texture, of_defect, of_camera = (
        np.random.default_rng(child) for child in seed.spawn(4)
    )
    pose, light = Pose.draw(of_part), Light.draw(of_part)
    grid = Grid.of(size, pose)
    change = Change.none(size) if defect is None else DEFECTS[defect](of_defect, grid, pose)
    scene, tint, solid = _scene(of_texture, grid, pose, light, change)
    if not change.changes_shape:
        change.mask &= solid > 0.5
    return expose(of_camera, scene, tint, light), change.mask.astype(np.uint8) * 255


def write_dataset(
    folder: Path,
    *,
    good: int,
    test_good: int,
    defective_per_kind: int,
    size: tuple[int, int] = SIZE,
    seed: int = 0,
) -> None:
    """Writes a complete data set in MVTec layout, or none.

    Raises:
        ConfigError: `folder` exists already.
    """
    if folder.exists():
        raise ConfigError(f"{folder}: exists already; remove it, or choose another folder")
    with new_directory(folder) as root:
        groups: list[tuple[str, str | None, int]] = [("train/good", None, good)]
        groups += [("test/good", None, test_good)]
        groups += [(f"test/{kind}", kind, defective_per_kind) for kind in DEFECTS]
        parts = [
            (np.random.SeedSequence((seed, number, part)), f"{name}/{part:03}", defect)
            for number, (name, defect, count) in enumerate(groups)
            for part in range(count)
        ]
        for name, _, _ in groups:
            (root / name).mkdir(parents=True)
        # NumPy and OpenCV let other threads draw meanwhile; each part has its own random numbers.
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for written in [threads.submit(_write_part, root, *part, size) for part in parts]:
                written.result()


def _write_part(
    root: Path, seed: np.random.SeedSequence, name: str, defect: str | None, size: tuple[int, int]
) -> None:
    image, mask = draw_part(seed, defect, size)
    (root / f"{name}.png").write_bytes(encode_png(image))
    if mask.any():
        truth = root / f"{name.replace('test', 'ground_truth', 1)}_mask.png"
        truth.parent.mkdir(parents=True, exist_ok=True)
        truth.write_bytes(encode_png(mask))


def _scene(
    random: Random, grid: Grid, pose: Pose, light: Light, change: Change
) -> tuple[Field, Field, Field]:
    """Draws grey levels, brown tint, and the share of steel, each (H, W)."""
    size = (grid.radius.shape[0], grid.radius.shape[1])
    belt = conveyor(random, size)
    face = steel(random, grid, pose, light) + change.grey + _engraving(grid, pose)
    outer = grid.radius - np.float32(pose.outer * grid.height)
    openings = [grid.radius - np.float32(pose.bore * grid.height)]
    for number, (y, x) in enumerate(grid.hole_centers(pose)):
        radius = pose.hole * grid.height * change.hole_scale.get(number, 1.0)
        openings.append(grid.circle(y, x, radius if radius > 0 else -99.0))
    slope = np.cos(grid.angle - np.float32(light.glint_angle_rad))
    for distance in openings:
        face += 45 * _chamfer(distance, 2.5) * -slope
    face += 55 * _chamfer(-outer, 3.0) * slope
    solid = inside(outer) * (1 - change.cut)
    for distance in openings:
        solid = solid * (1 - inside(distance))
    shadow = np.asarray(cv2.GaussianBlur(inside(outer), (0, 0), 9), np.float32)
    scene = solid * face + (1 - solid) * belt * (1 - 0.55 * shadow)
    return scene, solid * change.tint, solid


def _chamfer(distance: Field, width_px: float) -> Field:
    """Returns the share of a bevel of `width_px` just outside a shape."""
    bevel = np.exp(-(((distance - width_px) / width_px) ** 2)) * (distance > -1)
    return np.asarray(bevel, np.float32)


def _engraving(grid: Grid, pose: Pose) -> Field:
    """Draws the type mark, a little darker than the face, turned with the part."""
    size = grid.radius.shape
    plate = np.zeros(size, np.uint8)
    scale = grid.height / 900
    (width, _), _ = cv2.getTextSize("LW-40 C45", cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    column = round(size[1] / 2 + pose.center_x * grid.height - width / 2)
    row = round(pose.center_y * grid.height + 0.21 * grid.height)
    cv2.putText(
        plate, "LW-40 C45", (column, row), cv2.FONT_HERSHEY_SIMPLEX, scale, 255, 1, cv2.LINE_AA
    )
    center = (size[1] / 2 + pose.center_x * grid.height, pose.center_y * grid.height)
    turn = cv2.getRotationMatrix2D(center, -np.degrees(pose.angle_rad), 1.0)
    turned = cv2.warpAffine(plate, turn, (size[1], size[0])).astype(np.float32) / 255
    return np.asarray(-38 * turned + 18 * np.roll(turned, 1, axis=0), np.float32)
