"""Defines the layout of a recipe in a calibration: its zones, and the alignment of the part."""

from __future__ import annotations

from inspection.config.strict import StrictModel
from inspection.layout.alignment import Alignment
from inspection.layout.zones import Polygon, Zones

WHOLE = "frame"  # the zone of a layout without zones that ignores something


class Layout(StrictModel):
    """A layout in a calibration; sizes and corners in native pixels."""

    frame_height: int
    frame_width: int
    zones: Zones = ()
    ignore: tuple[Polygon, ...] = ()
    alignment: Alignment | None = None

    @property
    def zone_names(self) -> tuple[str, ...]:
        """Returns the zone names in the order of the zone map; empty when the whole map counts."""
        names = tuple(zone.name for zone in self.zones)
        return names or ((WHOLE,) if self.ignore else ())
