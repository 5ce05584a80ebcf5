"""Reads the YAML file that draws a layout on a reference frame: `linewarden calibrate --layout`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import model_validator

from inspection.config.loading import ConfigPath, StrictModel, load_config
from inspection.errors import ConfigError, FrameError
from inspection.images import read_frame
from inspection.layout.alignment import AlignmentSettings, alignment_to
from inspection.layout.layout import Layout
from inspection.layout.preparer import FramePreparer
from inspection.layout.zones import Polygon, Zones
from inspection.preprocess import Crop, Preprocessing, check_frame


class AlignmentConfig(AlignmentSettings):
    """Alignment in the layout file; `mark` is a rectangle of the reference frame."""

    mark: Crop


class LayoutConfig(StrictModel):
    """The file of `linewarden calibrate --layout`.

    Attributes:
        reference: image of the frame under the polygons and the mark.
        zones: inspected areas, each with separate thresholds; without any, the whole frame or crop
            is inspected.
        ignore: areas left out of the inspection.
        alignment: search for the part; None when it always lies at the same place.
    """

    reference: ConfigPath
    zones: Zones = ()
    ignore: tuple[Polygon, ...] = ()
    alignment: AlignmentConfig | None = None

    @model_validator(mode="after")
    def _says_something(self) -> LayoutConfig:
        if not (self.zones or self.ignore or self.alignment):
            raise ValueError("has neither zones, nor ignore, nor alignment: give one of them")
        return self


def read_layout(path: Path, preprocessing: Preprocessing) -> Layout:
    """Reads the YAML file of a layout.

    Args:
        preprocessing: preprocessing of the bundle that will use the layout.

    Raises:
        ConfigError: the file is wrong, or its layout does not fit the frames of the bundle: a
            polygon outside the frame, nothing left to inspect, a mark that cannot be found.
    """
    config = load_config(path, LayoutConfig)
    try:
        reference = read_frame(config.reference, preprocessing.window)
    except FrameError as error:
        raise ConfigError(
            f"{path}: reference: {error}; give the frame on which the zones were drawn, such as "
            "one of 'linewarden camera grab'"
        ) from error
    try:
        check_frame(reference, preprocessing)
    except FrameError as error:
        raise ConfigError(f"{path}: reference: {config.reference}: {error}") from error
    alignment = config.alignment
    try:
        layout = Layout(
            frame_height=reference.shape[0],
            frame_width=reference.shape[1],
            zones=config.zones,
            ignore=config.ignore,
            alignment=alignment
            and alignment_to(
                reference,
                alignment.mark,
                AlignmentSettings(**alignment.model_dump(exclude={"mark"})),
            ),
        )
        _require_inside(layout, preprocessing.crop)
        FramePreparer(preprocessing, layout)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return layout


def _require_inside(layout: Layout, crop: Crop | None) -> None:
    """Refuses polygons that leave the frame, and zones that leave the crop."""
    size = np.array([layout.frame_width, layout.frame_height])
    shown = (np.zeros(2), size)
    where = f"the frame of {layout.frame_width}x{layout.frame_height}"
    drawn = [(f"ignore.{number}", polygon) for number, polygon in enumerate(layout.ignore)]
    inspected = [
        (f"zone {zone.name!r}, polygons.{number}", polygon)
        for zone in layout.zones
        for number, polygon in enumerate(zone.polygons)
    ]
    _require_within([*drawn, *inspected], *shown, where)
    if crop is not None:
        low = np.array([crop.left, crop.top])
        where = f"the crop of {crop.width}x{crop.height} at ({crop.left}, {crop.top})"
        _require_within(inspected, low, low + np.array([crop.width, crop.height]), where)


def _require_within(
    polygons: Sequence[tuple[str, Polygon]],
    low: npt.NDArray[np.float64],
    high: npt.NDArray[np.float64],
    where: str,
) -> None:
    for name, polygon in polygons:
        for x, y in polygon:
            if not (low[0] <= x <= high[0] and low[1] <= y <= high[1]):
                raise ConfigError(f"{name}: the corner ({x:g}, {y:g}) lies outside {where}")
