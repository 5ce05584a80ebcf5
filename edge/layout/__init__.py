"""The layout of a recipe: its zones, and the mark that tells where the part lies.

It is drawn on one reference frame, given as a YAML file when a recipe is calibrated, and kept in
the calibration, because the thresholds hold with these zones only. Calibration and line bring
their frames into it by the same `Preparation`.

A part that moved is not moved back: that would resample the frame a second time. Its zones move
with it, by fractions of a pixel and with its rotation, and so does the crop, by whole pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import model_validator

from edge.config import ConfigPath, StrictModel, load_config
from edge.errors import ConfigError, FrameError, PartNotFoundError
from edge.images import read_image
from edge.layout.alignment import Alignment, AlignmentSettings, MarkFinder, Pose, alignment_to
from edge.layout.zones import Affine, Corners, Polygon, ZoneMap, Zones, moved, zone_map
from edge.preprocess import Crop, Preprocessing, check_frame, preprocess

WHOLE = "frame"  # the zone of a layout without zones that ignores something


class AlignmentConfig(AlignmentSettings):
    """Alignment as it is asked for; `mark` is a rectangle of the reference frame."""

    mark: Crop


class LayoutConfig(StrictModel):
    """The file of `linewarden calibrate --layout`.

    Attributes:
        reference: the frame that polygons and mark were drawn on.
        zones: what is inspected, each zone with thresholds of its own; without any, the whole
            frame, or its crop.
        ignore: what is not.
        alignment: how the part is found; None where it always lies at the same place.
    """

    reference: ConfigPath
    zones: Zones = ()
    ignore: tuple[Polygon, ...] = ()
    alignment: AlignmentConfig | None = None

    @model_validator(mode="after")
    def _says_something(self) -> LayoutConfig:
        if not (self.zones or self.ignore or self.alignment):
            raise ValueError("has neither zones, nor ignore, nor alignment: say one of them")
        return self


class Layout(StrictModel):
    """A layout as it stands in a calibration; sizes and corners in native pixels."""

    frame_height: int
    frame_width: int
    zones: Zones = ()
    ignore: tuple[Polygon, ...] = ()
    alignment: Alignment | None = None

    @property
    def zone_names(self) -> tuple[str, ...]:
        """Name of each zone of the zone map, in its order; empty when the whole map counts."""
        names = tuple(zone.name for zone in self.zones)
        return names or ((WHOLE,) if self.ignore else ())


def read_layout(path: Path, preprocessing: Preprocessing) -> Layout:
    """Read the YAML file of a layout.

    Args:
        preprocessing: of the bundle that it is for.

    Raises:
        ConfigError: the file, or what it draws, does not fit the frames of the bundle: a polygon
            outside of them, nothing left to inspect, a mark that cannot be found.
    """
    config = load_config(path, LayoutConfig)
    try:
        reference = read_image(config.reference)
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
        Preparation(preprocessing, layout)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return layout


@dataclass(frozen=True)
class PreparedFrame:
    """A frame ready for the engine.

    Attributes:
        image: uint8 (height, width, 3), see `preprocess`.
        crop: what of the frame it shows; None for all of it.
        zones: the zone of each pixel of the anomaly map; None when the whole map counts.
        pose: how the part lies; None without alignment.
    """

    image: npt.NDArray[np.uint8]
    crop: Crop | None
    zones: ZoneMap | None = None
    pose: Pose | None = None


class Preparation:
    """Finds the part, places its zones, and makes the model's input.

    Args:
        preprocessing: of the bundle.
        layout: None for recipes that inspect the whole frame, or its crop, wherever the part lies.

    Raises:
        ConfigError: the layout leaves some zone nothing to inspect, or its mark is damaged.
    """

    def __init__(self, preprocessing: Preprocessing, layout: Layout | None = None) -> None:
        self._preprocessing = preprocessing
        self._layout = layout
        self._finder = MarkFinder(layout.alignment) if layout and layout.alignment else None
        self._zones = [[np.asarray(p) for p in z.polygons] for z in layout.zones] if layout else []
        self._ignored = [np.asarray(polygon) for polygon in layout.ignore] if layout else []
        self._names = layout.zone_names if layout else ()
        self._at_rest = self._zone_map(None, preprocessing.crop)
        if lost := self._lost_zones(self._at_rest):
            raise ConfigError(
                f"zone {lost[0]!r} has no pixel of the {preprocessing.width}x"
                f"{preprocessing.height} anomaly map: it is too small, or ignored, or under "
                "another zone"
            )

    def prepare(self, frame: npt.NDArray[np.uint8]) -> PreparedFrame:
        """Prepare a native frame, uint8 (H, W) grey or (H, W, 3) BGR.

        Raises:
            FrameError: the frame does not fit the model, or not the layout.
            PartNotFoundError: the part is not found, or lies so that zones or crop leave the frame.
        """
        layout, crop = self._layout, self._preprocessing.crop
        if layout is None:
            return PreparedFrame(preprocess(frame, self._preprocessing), crop)
        check_frame(frame, self._preprocessing)
        height, width = frame.shape[:2]
        if (height, width) != (layout.frame_height, layout.frame_width):
            raise FrameError(
                f"the frame is {height}x{width} (height x width) and the layout of the recipe was "
                f"drawn on {layout.frame_height}x{layout.frame_width}: zones do not stretch"
            )
        if self._finder is None:
            return PreparedFrame(preprocess(frame, self._preprocessing), crop, self._at_rest)
        pose = self._finder.find(frame)
        crop = crop and _moved_crop(crop, pose.to_frame, height, width)
        zones = self._zone_map(pose.to_frame, crop)
        if lost := self._lost_zones(zones):
            raise PartNotFoundError(f"zone {lost[0]!r} has no pixel left where the part lies")
        image = preprocess(frame, self._preprocessing.model_copy(update={"crop": crop}))
        return PreparedFrame(image, crop, zones, pose)

    def _zone_map(self, to_frame: Affine | None, crop: Crop | None) -> ZoneMap | None:
        """The zones where the part lies, in the map of what the crop shows."""
        if not self._names or self._layout is None:
            return None
        target = self._preprocessing
        height = crop.height if crop else self._layout.frame_height
        width = crop.width if crop else self._layout.frame_width
        start = np.array([crop.left, crop.top]) if crop else np.zeros(2)
        scale = np.array([target.width / width, target.height / height])

        def on_map(polygon: Corners) -> Corners:
            native = polygon if to_frame is None else moved(polygon, to_frame)
            return np.asarray((native - start) * scale)

        zones = [[on_map(polygon) for polygon in polygons] for polygons in self._zones]
        if to_frame is not None:
            self._require_visible(zones)
        ignored = [on_map(polygon) for polygon in self._ignored]
        return zone_map(zones, ignored, target.height, target.width)

    def _require_visible(self, zones: Sequence[Sequence[Corners]]) -> None:
        """Refuse zones that leave the map by half a pixel or more: something would go unseen."""
        end = np.array([self._preprocessing.width, self._preprocessing.height])
        for name, polygons in zip(self._names, zones, strict=False):
            for corners in polygons:
                beyond = float(np.maximum(-corners, corners - end).max())
                if beyond >= 0.5:
                    raise PartNotFoundError(
                        f"zone {name!r} reaches {beyond:.1f} px of the anomaly map beyond what the "
                        "camera shows of the part: the part lies too far off"
                    )

    def _lost_zones(self, zones: ZoneMap | None) -> list[str]:
        if zones is None:
            return []
        there = np.bincount(zones.ravel(), minlength=len(self._names) + 1)
        return [name for name, pixels in zip(self._names, there[1:], strict=True) if not pixels]


def _moved_crop(crop: Crop, to_frame: Affine, height: int, width: int) -> Crop:
    """The crop around the place that its centre has gone to, by whole pixels."""
    centre = np.array([[crop.left + crop.width / 2, crop.top + crop.height / 2]])
    right, down = np.rint(moved(centre, to_frame)[0] - centre[0]).astype(int)
    left, top = crop.left + int(right), crop.top + int(down)
    if left < 0 or top < 0 or left + crop.width > width or top + crop.height > height:
        raise PartNotFoundError(
            f"the part lies {right:+d} px to the right and {down:+d} px down of its place, and the "
            "crop that goes with it leaves the frame"
        )
    return crop.model_copy(update={"left": left, "top": top})


def _require_inside(layout: Layout, crop: Crop | None) -> None:
    """Refuse polygons that leave the frame, and zones that leave the crop."""
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
