"""Turns a native frame into the model's input, and places the zones on the part."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inspection.errors import ConfigError, FrameError, PartNotFoundError
from inspection.layout.alignment import MarkFinder, Pose
from inspection.layout.layout import Layout
from inspection.layout.zones import Affine, Corners, ZoneMap, moved, zone_map
from inspection.preprocess import Crop, Preprocessing, check_frame, model_input


@dataclass(frozen=True)
class PreparedFrame:
    """A frame ready for the engine.

    Attributes:
        image: uint8 (height, width, 3), see `preprocess`.
        crop: part of the frame that the image shows; None for the whole frame.
        zones: the zone of each pixel of the anomaly map; None when the whole map counts.
        pose: position of the part; None without alignment.
        preprocess_ns: duration of the preparation.
    """

    image: npt.NDArray[np.uint8]
    crop: Crop | None
    zones: ZoneMap | None = None
    pose: Pose | None = None
    preprocess_ns: int = 0


class FramePreparer:
    """Finds the part, places its zones, and makes the model's input.

    Args:
        preprocessing: preprocessing of the bundle.
        layout: layout of the recipe; None inspects the whole frame or crop wherever the part lies.

    Raises:
        ConfigError: the layout leaves a zone without pixels, or its mark is damaged.
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
        """Prepares a native frame, uint8 (H, W) grey or (H, W, 3) BGR.

        Raises:
            FrameError: the frame does not fit the model or the layout.
            PartNotFoundError: the part is not found, or zones or crop leave the frame where it
                lies.
        """
        started_ns = time.monotonic_ns()
        check_frame(frame, self._preprocessing)
        crop, zones, pose = self._preprocessing.crop, self._at_rest, None
        if self._layout is not None:
            self._check_size(frame, self._layout)
        if self._finder is not None:
            pose = self._finder.find(frame)
            crop = crop and _moved_crop(crop, pose.to_frame, *frame.shape[:2])
            zones = self._zone_map(pose.to_frame, crop)
            if lost := self._lost_zones(zones):
                raise PartNotFoundError(f"zone {lost[0]!r} has no pixel left where the part lies")
        image = model_input(frame, crop, self._preprocessing)
        return PreparedFrame(image, crop, zones, pose, time.monotonic_ns() - started_ns)

    def _check_size(self, frame: npt.NDArray[np.uint8], layout: Layout) -> None:
        height, width = frame.shape[:2]
        if (height, width) != (layout.frame_height, layout.frame_width):
            raise FrameError(
                f"the frame is {height}x{width} (height x width) and the layout of the recipe was "
                f"drawn on {layout.frame_height}x{layout.frame_width}: zones do not stretch"
            )

    def _zone_map(self, to_frame: Affine | None, crop: Crop | None) -> ZoneMap | None:
        """Returns the zones where the part lies, in pixels of the map of `crop`."""
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
        """Refuses zones that leave the map by half a pixel or more: that part would go unseen."""
        end = np.array([self._preprocessing.width, self._preprocessing.height])
        for name, polygons in zip(self._names, zones, strict=False):
            for corners in polygons:
                beyond = float(np.maximum(-corners, corners - end).max())
                if beyond >= 0.5:
                    raise PartNotFoundError(
                        f"zone {name!r} reaches {beyond:.1f} px of the anomaly map beyond the "
                        "camera's view: the part lies too far off"
                    )

    def _lost_zones(self, zones: ZoneMap | None) -> list[str]:
        if zones is None:
            return []
        there = np.bincount(zones.ravel(), minlength=len(self._names) + 1)
        return [name for name, pixels in zip(self._names, there[1:], strict=True) if not pixels]


def _moved_crop(crop: Crop, to_frame: Affine, height: int, width: int) -> Crop:
    """Returns the crop moved with the part by whole pixels, at its centre."""
    centre = np.array([[crop.left + crop.width / 2, crop.top + crop.height / 2]])
    right, down = np.rint(moved(centre, to_frame)[0] - centre[0]).astype(int)
    left, top = crop.left + int(right), crop.top + int(down)
    if left < 0 or top < 0 or left + crop.width > width or top + crop.height > height:
        raise PartNotFoundError(
            f"the part lies {right:+d} px to the right of its place and {down:+d} px below it, and "
            "the crop that moves with it leaves the frame"
        )
    # The check above makes a validation for every frame unnecessary.
    return Crop.model_construct(top=top, left=left, height=crop.height, width=crop.width)
