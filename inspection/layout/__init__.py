"""The layout of a recipe: its zones, and the mark that locates the part.

It is drawn on one reference frame, given as a YAML file when a recipe is calibrated, and kept in
the calibration, because the thresholds hold with these zones only. Calibration and line bring
their frames into it by the same `FramePreparer`.

A part that moved is not moved back: that would resample the frame a second time. Its zones move
with it, by fractions of a pixel and with its rotation, and so does the crop, by whole pixels.
"""

from inspection.layout.layout import Layout
from inspection.layout.layout_file import LayoutConfig, read_layout
from inspection.layout.preparer import FramePreparer, PreparedFrame

__all__ = ["FramePreparer", "Layout", "LayoutConfig", "PreparedFrame", "read_layout"]
