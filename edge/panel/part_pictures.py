"""The images of a part by view, as pages show them."""

from __future__ import annotations

from dataclasses import dataclass

from edge.store.images import FRAME_SUFFIX
from edge.store.reader import StoredRecord


@dataclass(frozen=True)
class Picture:
    """The images of one view of a part, as places among the images of its record.

    Attributes:
        view: as the record names it.
        mask: of the defect that the line found; None without one.
    """

    view: str
    frame: int
    mask: int | None


def pictures_of(stored: StoredRecord) -> list[Picture]:
    """Returns the views whose frame the line kept, in the order of the record."""
    record, found = stored.record, []
    for view in record.views:
        start = f".{view.view}" if len(record.views) > 1 else ""
        places = {
            kind: next((n for n, name in enumerate(record.images) if name.endswith(kind)), None)
            for kind in (f"{start}{FRAME_SUFFIX}", f"{start}.mask.png")
        }
        frame, mask = places.values()
        if frame is not None:
            found.append(Picture(view.view, frame, mask))
    return found
