"""The good part that looks most like another: nearest by pixels among archived passes.

Pictures of 32x32 grey pixels are compared, each less its mean, so that a change of the light alone
is no difference. That is coarse on purpose: it finds the same side, position and kind of a part,
and the person sees the defect. A search takes the passes nearest in time first, and ends in time.
"""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge.panel.lines import PanelLine
from edge.panel.refusals import Refused
from edge.panel.thumbnails import Thumbnails
from edge.store.labels import GOOD
from edge.store.quota import image_file
from edge.store.reader import Filter, RecordReader, StoredRecord
from inspection.images.reading import decode_image
from inspection.verdict import Verdict

_MOST = 64  # parts that are compared
_LIMIT_S = 1.0
_WAIT_S = 5.0  # for the searches of others
_SIDE = 32
_THUMBNAIL = 160
_KEPT = 2048  # small pictures, of 4 KiB
_AT_ONCE = 2
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")

_Small = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Nearest:
    """A good part.

    Attributes:
        place: of its frame among the images of its record.
        compared: parts that were compared.
    """

    trigger_id: str
    place: int
    compared: int


class NearestGood:
    """Searches in the archives of lines. Safe for threads."""

    def __init__(self, thumbnails: Thumbnails) -> None:
        self._thumbnails = thumbnails
        self._searching = threading.BoundedSemaphore(_AT_ONCE)
        self._small: OrderedDict[Path, _Small] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, line: PanelLine, part: StoredRecord, frame: str) -> Nearest | None:
        """Returns the good part of the same recipe that looks most like this one.

        Args:
            frame: name of the frame of `part` to compare.

        Returns:
            None without passes in the archive.

        Raises:
            Refused: the frame is no longer there, or too many people search now.
        """
        if not self._searching.acquire(timeout=_WAIT_S):
            raise Refused(503, "problem.busy")
        try:
            return self._search(line, part, frame)
        finally:
            self._searching.release()

    def _search(self, line: PanelLine, part: StoredRecord, frame: str) -> Nearest | None:
        with line.reader() as reader:
            until_s = time.monotonic() + _LIMIT_S
            own = self._picture(line.images, frame)
            best: tuple[float, str, int] | None = None
            compared = 0
            passes = _passes(line, reader, part, frame, until_s)
            for trigger_id, place, name in islice(passes, _MOST):
                try:
                    distance = float(np.abs(self._picture(line.images, name) - own).mean())
                except Refused:  # it was deleted meanwhile
                    continue
                compared += 1
                best = min(best or (distance, trigger_id, place), (distance, trigger_id, place))
        return None if best is None else Nearest(best[1], best[2], compared)

    def _picture(self, archive: Path, name: str) -> _Small:
        path = archive / name
        with self._lock:
            if (known := self._small.get(path)) is not None:
                return known
        content, _ = self._thumbnails.picture(archive, name, _THUMBNAIL)
        image = decode_image(content, name)
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
        small -= small.mean()
        with self._lock:
            self._small[path] = small
            while len(self._small) > _KEPT:
                self._small.popitem(last=False)
        return small


def _passes(
    line: PanelLine, reader: RecordReader, part: StoredRecord, frame: str, until_s: float
) -> Iterator[tuple[str, int, str]]:
    """Yields trigger, place and name of frames of good parts, those nearest in time first."""
    for trigger_id, name in _frames_of_passes(line.images, frame):
        if time.monotonic() > until_s:
            return
        stored = next(reader.find(Filter(trigger_id=trigger_id), limit=1), None)
        if stored is None or stored.record.trigger_id == part.record.trigger_id:
            continue
        same = (stored.record.recipe, stored.record.recipe_number) == (
            part.record.recipe,
            part.record.recipe_number,
        )
        if same and stored.label in (None, GOOD) and name in stored.record.images:
            yield trigger_id, stored.record.images.index(name), name


def _frames_of_passes(archive: Path, frame: str) -> Iterator[tuple[str, str]]:
    """Yields trigger and name of the archived frames of passes, of the same view as `frame`."""
    day, _, own = frame.rpartition("/")
    end = f"_{Verdict.PASS.value}.{own.split('.', 2)[2]}"  # a name begins with 041455.123456_
    moment = _second(f"{day}/{own}")

    def distance(name: str) -> float:
        return abs(_second(name) - moment)

    days = [path.name for path in archive.iterdir() if _DAY.fullmatch(path.name)]
    for one in sorted(days, key=lambda one: distance(f"{one}/120000.000000")):
        names = [path.name for path in (archive / one).iterdir() if path.name.endswith(end)]
        images = [image for name in names if (image := image_file(one, name)) is not None]
        for image in sorted(images, key=lambda image: distance(image.name)):
            yield image.trigger_id, image.name


def _second(name: str) -> float:
    """Returns about the second of the name of an image, to compare with others."""
    year, month, day = map(int, name[:10].split("-"))
    time_of_day = int(name[11:13]) * 3600 + int(name[13:15]) * 60 + float(name[15:24])
    return ((year * 12 + month) * 31 + day) * 86_400 + time_of_day
