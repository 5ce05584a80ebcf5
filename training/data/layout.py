"""Finding the images of a data set on disk, whichever layout it has.

A layout is one module in `training.data.layouts` and one line in the table below.
"""

from __future__ import annotations

from pathlib import Path

from inspection.errors import CameraError
from training.data.layouts import ganomaly, ksdd2, mvtec, plain, uniad, visa
from training.data.layouts.base import GOOD, DataSet, Layout, Sample, WritableLayout

__all__ = ["GOOD", "LAYOUTS", "WRITABLE", "DataSet", "Sample", "find_layout", "read_data_set"]

WRITABLE: dict[str, WritableLayout] = {
    "mvtec": mvtec,
    "uniad": uniad,
    "ganomaly": ganomaly,
    "visa": visa,
    "ksdd2": ksdd2,
}
# A plain folder is one that has no other layout.
LAYOUTS: dict[str, Layout] = {**WRITABLE, "plain": plain}


def read_data_set(path: Path) -> DataSet:
    """List the images of the folder or list at `path`.

    Raises:
        CameraError: see `find_layout`; or the data set is not whole.
    """
    return LAYOUTS[find_layout(path)].read(path)


def find_layout(path: Path) -> str:
    """The name of the layout of a data set.

    Raises:
        CameraError: `path` is missing, or has no layout or several; the message says what was
            looked for and what is there.
    """
    if not path.exists():
        raise CameraError(f"{path}: no such folder or list")
    found = [name for name, layout in WRITABLE.items() if layout.recognises(path)]
    if not found and plain.recognises(path):
        return "plain"
    if not found:
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


def _content(path: Path) -> str:
    if path.is_file():
        return "is a file"
    entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    names = [entry.name + ("/" if entry.is_dir() else "") for entry in entries]
    shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
    return f"holds {shown or 'nothing'}"
