"""The measurements of the calibration study on the good images of a data set."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from inspection.config.loading import StrictModel

IN_TIME = "ball_screw"  # the data set whose file names have the time of the picture


class Part(StrictModel):
    """One good image.

    Attributes:
        group: images of one group are more alike than others.
        is_test: whether it comes from the test folder of the data set.
        figures: score and frame figures by the name of the change.
    """

    name: str
    group: str
    is_test: bool
    figures: dict[str, dict[str, float]]


class Measured(StrictModel):
    """All good images of a data set outside the training."""

    data_set: str
    group_kind: str
    parts: tuple[Part, ...]

    @property
    def groups(self) -> list[str]:
        """Names of the groups."""
        return sorted({part.group for part in self.parts})

    @cached_property
    def scores(self) -> npt.NDArray[np.float64]:
        """Raw scores of the images as they are."""
        return self.column("score", "as it is")

    def column(self, channel: str, change: str) -> npt.NDArray[np.float64]:
        """Returns a figure of every image with this change."""
        return np.array([p.figures[change][channel] for p in self.parts if change in p.figures])
