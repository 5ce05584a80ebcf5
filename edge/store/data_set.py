"""Frames of chosen parts as a folder of images, to train on or to calibrate with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge.store.images import FRAME_SUFFIX
from edge.store.labels import GOOD, UNSETTLED
from edge.store.reader import StoredRecord
from inspection.errors import FrameError, RecordsError
from inspection.files import new_directory
from inspection.images import read_image
from inspection.verdict import Verdict

ORIGIN = "origin.jsonl"

Layout = Literal["mvtec", "plain"]


@dataclass(frozen=True)
class Gathered:
    """The content of a gathered folder.

    Attributes:
        images: number of images by label.
        missing: parts whose frame was not kept, or is deleted by now.
        damaged: parts whose frame cannot be read.
    """

    images: dict[str, int]
    missing: int
    damaged: list[str]


def gather(
    records: Iterable[StoredRecord],
    images: Path,
    out: Path,
    *,
    layout: Layout,
    take_passes: bool,
    view: str | None = None,
) -> Gathered:
    """Copy the frames of labelled parts, which are lossless, to a new folder.

    `out` is complete whenever it exists, and says in `origin.jsonl` which record each image is of.

    Args:
        images: folder that the records name their images in.
        layout: "mvtec": `train/good` and `test/<defect>`, and `ground_truth/<defect>` with the
            masks that people painted. "plain": good parts alone, directly in the folder, as
            `calibrate` takes them. Parts that nobody has decided on are left out.
        take_passes: an unlabelled PASS counts as good.
        view: the one to take where a part has several.

    Raises:
        RecordsError: a part has several views and `view` names none of them; there is nothing to
            copy, or `out` exists or cannot be written.
    """
    seen = 0
    try:
        with new_directory(out) as folder, (folder / ORIGIN).open("w") as origin:
            copies = _Copies(folder, images, layout)
            for stored in records:
                seen += 1
                label = _label(stored, take_passes=take_passes)
                if label is None or (layout == "plain" and label != GOOD):
                    continue
                judged = _judged(stored, view)
                if (name := copies.add(stored, label, judged)) is not None:
                    origin.write(_origin(name, label, judged, stored))
            gathered = copies.gathered
            if not gathered.images:
                what = "labelled part" if layout == "mvtec" else "part labelled good"
                raise RecordsError(_nothing(seen, what, gathered, take_passes=take_passes))
    except FileExistsError as error:
        raise RecordsError(f"{out}: exists already; give another folder") from error
    except OSError as error:
        raise RecordsError(f"{out}: cannot be written ({error.strerror})") from error
    return gathered


class _Copies:
    """The frames that are copied to a folder, and the number of those that cannot be."""

    def __init__(self, folder: Path, images: Path, layout: Layout) -> None:
        self._folder, self._images, self._layout = folder, images, layout
        self._counts: dict[str, int] = {}
        self._missing = 0
        self._damaged: list[str] = []

    @property
    def gathered(self) -> Gathered:
        """The content of the folder by now."""
        return Gathered(self._counts, self._missing, self._damaged)

    def add(self, stored: StoredRecord, label: str, view: str) -> Path | None:
        """Copies a view of a part, and its mask; returns the name of the copy, if there is one."""
        frame = _frame(stored, self._images, view)
        if frame is None:
            self._missing += 1
            return None
        try:
            read_image(frame)
        except FrameError as error:
            self._damaged.append(str(error))
            return None
        name = _place(self._layout, label) / f"{stored.record.trigger_id}.png"
        (self._folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(frame, self._folder / name)
        if self._layout == "mvtec" and label != GOOD:
            _copy_mask(stored, self._images, frame, self._folder / "ground_truth" / label)
        self._counts[label] = self._counts.get(label, 0) + 1
        return name


def _label(stored: StoredRecord, *, take_passes: bool) -> str | None:
    if stored.label is None and take_passes and stored.record.verdict is Verdict.PASS:
        return GOOD
    return None if stored.label in UNSETTLED else stored.label


def _judged(stored: StoredRecord, view: str | None) -> str:
    """Returns the view of a part that is taken."""
    views = [one.view for one in stored.record.views]
    if view not in views and (view is not None or len(views) > 1):
        raise RecordsError(
            f"{stored.record.trigger_id}: has the views {', '.join(views)}; choose one with --view"
        )
    return stored.record.view if view is None else view


def _frame(stored: StoredRecord, images: Path, view: str) -> Path | None:
    suffix = f".{view}{FRAME_SUFFIX}" if len(stored.record.views) > 1 else FRAME_SUFFIX
    paths = (images / name for name in stored.record.images if name.endswith(suffix))
    return next((path for path in paths if path.is_file()), None)


def _copy_mask(stored: StoredRecord, images: Path, frame: Path, target: Path) -> None:
    """Copies the mask that was painted over this frame; one of another view is of no use here."""
    painted = f"{frame.name.removesuffix(FRAME_SUFFIX)}.painted-"
    if stored.mask is None or not (images / stored.mask).name.startswith(painted):
        return
    if (mask := images / stored.mask).is_file():
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(mask, target / f"{stored.record.trigger_id}_mask.png")


def _place(layout: Layout, label: str) -> Path:
    if layout == "plain":
        return Path()
    return Path("train", GOOD) if label == GOOD else Path("test", label)


def _origin(name: Path, label: str, view: str, stored: StoredRecord) -> str:
    record = stored.record.model_dump(mode="json")
    found = {"image": name.as_posix(), "label": label, "view": view, "record": record}
    return json.dumps(found) + "\n"


def _nothing(seen: int, what: str, gathered: Gathered, *, take_passes: bool) -> str:
    if gathered.missing or gathered.damaged:
        return (
            f"no image to copy: {gathered.missing} parts have no frame (any more), "
            f"{len(gathered.damaged)} have a damaged one; see records.images in the line's "
            "configuration for what is kept"
        )
    if not seen:
        return "no record fits the filter; 'linewarden records list' takes the same one"
    more = "" if take_passes else ", or take passes that nobody labelled with --passes"
    return (
        f"no {what} among the {seen} records that fit: label some with 'linewarden records "
        f"label'{more}"
    )
