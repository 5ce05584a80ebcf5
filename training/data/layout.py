"""Data sets on disk: find the layout, read the samples, write them in another layout."""

from __future__ import annotations

from pathlib import Path

from inspection.errors import CameraError
from inspection.files import new_directory
from training.data.data_set import DataSet
from training.data.layouts import LAYOUTS, WRITABLE, mvtec, plain
from training.data.layouts.store import Store


def read_data_set(path: Path) -> DataSet:
    """Lists the images of the folder or list at `path`.

    Raises:
        CameraError: `path` is missing, or has no layout or several, or the data set is incomplete.
    """
    return LAYOUTS[find_layout(path)].read(path)


def find_layout(path: Path) -> str:
    """Returns the name of the layout of a data set.

    Raises:
        CameraError: `path` is missing, or has no layout or several; the message has the expected
            names and the content of the folder.
    """
    if not path.exists():
        raise CameraError(f"{path}: no such folder or list")
    found = [name for name, layout in WRITABLE.items() if layout.recognises(path)]
    if not found and plain.recognises(path):
        return "plain"
    if not found:
        mvtec.refuse_nearly(path)
        looked_for = "".join(f"\n  {name}: {layout.EXPECTED}" for name, layout in LAYOUTS.items())
        raise CameraError(
            f"{path}: no layout of a data set; looked for{looked_for}\nit {_content(path)}"
        )
    if len(found) > 1:
        both = "".join(f"\n  {name}: {LAYOUTS[name].EXPECTED}" for name in found)
        raise CameraError(
            f"{path}: has more than one layout, move all but one of them elsewhere:{both}\n"
            f"it {_content(path)}"
        )
    return found[0]


def convert(data_set: DataSet, to: str, out: Path, *, link: bool) -> list[str]:
    """Writes all images and masks of a data set to a new folder; returns the losses.

    `out` is complete whenever it exists. With `link`, unchanged files are hard links to the
    originals.

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


def _content(path: Path) -> str:
    if path.is_file():
        return "is a file"
    entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    names = [entry.name + ("/" if entry.is_dir() else "") for entry in entries]
    shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
    return f"holds {shown or 'nothing'}"
