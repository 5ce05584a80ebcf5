"""Defines the interface of all inference engines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Prediction:
    """Raw outputs of the graph for a batch; the caller owns both arrays.

    Attributes:
        scores: float32 (N,); higher is more anomalous.
        maps: float32 (N, H, W); higher is more anomalous.
    """

    scores: npt.NDArray[np.float32]
    maps: npt.NDArray[np.float32]


@dataclass(frozen=True)
class GraphShape:
    """Fixed shape of the graph's input: uint8 (batch, height, width, 3)."""

    height: int
    width: int
    batch: int = 1


class Engine(Protocol):
    """Runs one artefact. One thread owns it from construction to `close`."""

    def infer(self, batch: npt.NDArray[np.uint8], deadline_ns: int | None = None) -> Prediction:
        """Runs the graph on uint8 (N, H, W, 3) BGR.

        Args:
            deadline_ns: moment, on the monotonic clock, from which nobody waits for the result. An
                engine on another machine gives up then; one on this device runs to its end.

        Raises:
            EngineError: the shape is wrong, the engine is closed, or the run failed.
        """

    def close(self) -> None:
        """Releases the device. Safe to call twice."""


# No device has as many processors. Each thread costs memory, and more than processors only wait.
THREADS_MAX = 1024


class EngineFactory(Protocol):
    """Opens an artefact of a bundle and verifies its inputs and outputs."""

    def __call__(self, artefact: Path, shape: GraphShape, *, threads: int | None) -> Engine:
        """Loads `artefact`; raises EngineError when it cannot run here."""
