"""Good parts for a new model: collected images, whole frames of a line, and models taught here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.panel.teach.frames import LiveFrames
from edge.panel.teach.parts import Parts
from edge.panel.teach.promises import PromiseTable


@dataclass(frozen=True)
class Teaching:
    """What the pages about teaching share, for the life of the process."""

    parts: Parts
    frames: LiveFrames
    promises: PromiseTable

    @classmethod
    def below(cls, folder: Path, min_free_bytes: int) -> Teaching:
        """Returns the parts below a folder; see `TeachConfig`."""
        return cls(Parts(folder, min_free_bytes), LiveFrames(), PromiseTable())
