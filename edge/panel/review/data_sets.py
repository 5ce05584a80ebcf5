"""Data sets that people make of labelled parts, on a thread: it takes minutes for many parts."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from edge.panel.bundles import bundle_of
from edge.panel.inspected import Inspected
from edge.panel.lines import PanelLine
from edge.panel.refusals import Refused
from edge.station.config import LineConfig
from edge.store.data_set import ORIGIN, Layout, gather
from edge.store.reader import Filter, StoredRecord
from inspection.errors import LinewardenError, RecordsError

Purpose = Literal["training", "calibration"]
PURPOSES: tuple[Purpose, ...] = ("training", "calibration")

_LAYOUTS: dict[Purpose, Layout] = {"training": "mvtec", "calibration": "plain"}
_SHOWN = 10


@dataclass(frozen=True)
class Wanted:
    """A data set that somebody asks for.

    Attributes:
        product: a data set is of one, because a model and a threshold are.
        since, until: when its parts were announced; see `Filter`.
        take_passes: whether a PASS without a label counts as good.
    """

    purpose: Purpose
    product: Inspected
    since: datetime | None
    until: datetime | None
    take_passes: bool

    @property
    def which(self) -> Filter:
        """The filter of the records."""
        return replace(self.product.which, since=self.since, until=self.until)


@dataclass(frozen=True)
class DataSet:
    """A finished data set.

    Attributes:
        images: number of them.
        recipe, recipe_number, view: that judged the first of them.
    """

    folder: Path
    purpose: Purpose
    images: int
    recipe: str
    recipe_number: int | None
    view: str


@dataclass(frozen=True)
class Work:
    """The last data set that this process began for a line.

    Attributes:
        problem: why it was not made; empty when it was.
        missing: parts that it leaves out because their frame was not kept, or is deleted by now.
        damaged: what is wrong with the frame of each part that it leaves out for that.
    """

    name: str
    is_running: bool = False
    problem: str = ""
    missing: int = 0
    damaged: tuple[str, ...] = ()


class DataSets:
    """The data sets in a folder. Safe for threads.

    Args:
        folder: None where the configuration names none.
        min_free_bytes: the disk keeps so much for others, such as the records of the line.
    """

    def __init__(self, folder: Path | None, min_free_bytes: int) -> None:
        self.folder = folder
        self._min_free_bytes = min_free_bytes
        self._lock = threading.Lock()
        self._works: dict[str, Work] = {}

    def begin(self, line: PanelLine, wanted: Wanted) -> None:
        """Begins to make a data set of the parts of a line.

        Raises:
            Refused: the configuration names no folder, or one is being made for this line.
        """
        if self.folder is None:
            raise Refused(409, "problem.no_data_sets")
        moment = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}"
        name = f"{line.name}-{moment}-{wanted.purpose}"
        with self._lock:
            work = self._works.get(line.name)
            if work is not None and work.is_running:
                raise Refused(409, "problem.data_set_running", name=work.name)
            self._works[line.name] = Work(name, is_running=True)
        thread = threading.Thread(
            target=self._make, args=(line, wanted, self.folder / name), name="data-set", daemon=True
        )
        thread.start()

    def work(self, line: PanelLine) -> Work | None:
        """Returns what this process began last for a line."""
        with self._lock:
            return self._works.get(line.name)

    def finished(self, line: PanelLine) -> list[DataSet]:
        """Returns the newest data sets of a line, the newest first."""
        if self.folder is None:
            return []
        # By whole names: another line may be called as this one and more.
        moment = r"\d{8}T\d{6}Z"
        found = [
            (path, purpose)
            for purpose in PURPOSES
            for path in self.folder.glob(f"{line.name}-*Z-{purpose}")
            if re.fullmatch(rf"{re.escape(line.name)}-{moment}-{purpose}", path.name)
            and (path / ORIGIN).is_file()
        ]
        newest = sorted(found, key=lambda one: one[0].name, reverse=True)[:_SHOWN]
        return [_read(path, purpose) for path, purpose in newest]

    def _make(self, line: PanelLine, wanted: Wanted, out: Path) -> None:
        try:
            with line.reader() as reader:
                found = gather(
                    self._while_there_is_room(reader.find(wanted.which), out.parent),
                    line.images,
                    out,
                    layout=_LAYOUTS[wanted.purpose],
                    take_passes=wanted.take_passes,
                    view=wanted.product.view or None,
                )
            work = Work(out.name, missing=found.missing, damaged=tuple(found.damaged))
        except (LinewardenError, OSError, sqlite3.Error) as error:
            work = Work(out.name, problem=str(error))
        with self._lock:
            self._works[line.name] = work

    def _while_there_is_room(
        self, records: Iterator[StoredRecord], folder: Path
    ) -> Iterator[StoredRecord]:
        """Yields records; on a full disk the line would delete its archive to make room."""
        for record in records:
            yield record
            if shutil.disk_usage(folder).free < self._min_free_bytes:
                raise RecordsError(
                    f"{folder}: the disk has less than {self._min_free_bytes // 1_000_000} MB "
                    "left, which 'teach.min_free_bytes' keeps for the lines; free some space, or "
                    "choose a shorter time"
                )


def commands_for(data_set: DataSet, config: LineConfig) -> Sequence[str]:
    """Returns the command lines that use a data set; capitals are for the person to fill in."""
    folder = shlex.quote(str(data_set.folder))
    if data_set.purpose == "training":
        return (f"linewarden teach --good {folder} --out BUNDLE",)
    bundle = bundle_of(config, data_set.recipe_number, data_set.view)
    named = f"{shlex.quote(str(bundle))} --recipe {shlex.quote(data_set.recipe)}"
    images = f"--good GOOD --more-good {folder}"
    return (f"linewarden calibrate {named} {images} --author NAME --reason TEXT",)


def _read(folder: Path, purpose: Purpose) -> DataSet:
    with (folder / ORIGIN).open() as stream:
        first = json.loads(next(stream))
        images = 1 + sum(1 for _ in stream)
    # Of several views, another one may have decided. A data set of an earlier version names none.
    record = first["record"]
    view = first.get("view", record["view"])
    judged = next((one for one in record["views"] if one["view"] == view), record)
    return DataSet(folder, purpose, images, judged["recipe"], judged["recipe_number"], view)
