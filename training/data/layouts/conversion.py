"""Writing a data set in another layout."""

from __future__ import annotations

from pathlib import Path

from inspection.errors import CameraError
from inspection.files import new_directory
from training.data.layout import WRITABLE, DataSet
from training.data.layouts.store import Store


def convert(data_set: DataSet, to: str, out: Path, *, link: bool) -> list[str]:
    """Write all images and masks of a data set to a new folder; returns what is lost.

    `out` is complete whenever it exists. With `link`, files that stay as they are share their
    content with the originals.

    Args:
        to: name of the layout, one of WRITABLE.

    Raises:
        CameraError: `out` exists, the layout cannot hold the data set, or a file cannot be read or
            written.
    """
    if out.exists():
        raise CameraError(f"{out}: exists already; give another folder, or remove it first")
    layout = WRITABLE[to]
    limits = layout.limits(data_set)
    if limits.obstacles:
        reasons = "".join(f"\n- {obstacle}" for obstacle in limits.obstacles)
        raise CameraError(f"{data_set.name} does not fit into the layout {to}:{reasons}")
    try:
        with new_directory(out) as folder:
            layout.write(data_set, Store(folder, link=link))
    except OSError as error:
        raise CameraError(f"{out}: cannot be written ({error.strerror})") from error
    return limits.losses
