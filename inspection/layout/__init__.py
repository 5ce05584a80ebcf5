"""Defines the layout of a recipe: its zones, and the mark that locates the part.

The user draws a layout on one reference frame, in a YAML file. Calibration keeps the layout with
the thresholds, because they hold for these zones only. Calibration and line apply the layout to
their frames with the same `FramePreparer`.

The zones follow a part that moved, by fractions of a pixel and with its rotation. The crop follows
by whole pixels. The frame itself stays in place: moving it would resample it a second time.
"""

from inspection.layout.layout import Layout
from inspection.layout.preparer import FramePreparer, PreparedFrame

__all__ = ["FramePreparer", "Layout", "PreparedFrame"]
