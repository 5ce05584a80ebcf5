"""Drawn parts for a demonstration without a data set: turned steel flanges, good and defective."""

from __future__ import annotations

from training.demo_parts.dataset import draw_part, write_dataset
from training.demo_parts.defects import DEFECTS

__all__ = ["DEFECTS", "draw_part", "write_dataset"]
