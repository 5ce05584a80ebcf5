"""The layout of a calibration: the zones, and the mark that locates the part."""

from __future__ import annotations

from inspection.config.loading import StrictModel
from inspection.layout.alignment import Alignment
from inspection.layout.zones import Polygon, Zones

WHOLE = "frame"  # the zone of a layout without zones that ignores something


class Layout(StrictModel):
    """The layout of a calibration; sizes and corners in native pixels."""

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
