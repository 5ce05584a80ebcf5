"""The calibrations of a line's recipes, read and changed by the command `linewarden calibrations`.

The command is a process for each call: the panel itself needs neither the packages behind it nor
their memory, and thresholds have one way into a bundle.
"""

from __future__ import annotations

import os
import pwd
import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel

from edge.panel.command import linewarden
from edge.panel.file_version import FileVersion, version_of
from edge.station.config import LineConfig
from inspection.bundle.bundle import HISTORY_FOLDER, LOCK
from inspection.bundle.manifest import CALIBRATION_FOLDER


@dataclass(frozen=True)
class Calibrated:
    """A recipe of a bundle that a line inspects with.

    Attributes:
        numbers: by which the line selects it; empty on a line without numbers.
    """

    bundle: Path
    recipe: str
    numbers: tuple[int, ...] = ()

    @property
    def path(self) -> Path:
        """The file of its active calibration."""
        return self.bundle.resolve() / CALIBRATION_FOLDER / f"{self.recipe}.json"


class SliderPoint(BaseModel):
    """A place on the slider; see `calibration.curve.SliderPoint`.

    Attributes:
        refusal: why it cannot be taken; empty where it can.
    """

    position: float
    reject: float
    expected: float
    bound: float
    reject_by_zone: tuple[float, ...]
    refusal: str = ""


class Slider(BaseModel):
    """The sensitivity slider of a recipe; see `calibration.slider_view`."""

    recipe: str
    seal: str
    created_utc: datetime
    author: str
    reason: str
    artefact: str
    confidence: float
    is_approximate: bool
    zones: tuple[str, ...]
    review: float | None
    scores: tuple[float, ...]
    now: SliderPoint
    points: tuple[SliderPoint, ...]
    comparable: dict[str, tuple[float, ...]]

    @property
    def start(self) -> int:
        """The number of the point that is nearest to the one in force."""
        return min(
            range(len(self.points)),
            key=lambda place: (
                self.points[place].reject_by_zone != self.now.reject_by_zone,
                abs(self.points[place].position - self.now.position),
            ),
        )


class Calibrations:
    """Sliders of recipes, each read once for every calibration. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read: dict[Path, tuple[FileVersion | None, Slider]] = {}

    def slider(self, of: Calibrated) -> Slider:
        """Returns the slider of the active calibration.

        Raises:
            LinewardenError: the recipe has none; the message says why.
        """
        with self._lock:
            version, known = version_of(of.path), self._read.get(of.path)
            if version is None or known is None or known[0] != version:
                found = Slider.model_validate_json(_calibrations("sensitivity", of, "--json"))
                self._read[of.path] = known = version, found
            return known[1]

    def move(self, of: Calibrated, position: float, *, author: str, reason: str) -> None:
        """Takes the thresholds at a position of the slider, as a new calibration.

        Raises:
            LinewardenError: nothing was changed; the message says why.
        """
        words = (f"--to={position}", f"--author={author}", f"--reason={reason}", "--json")
        _calibrations("sensitivity", of, *words)

    def roll_back(self, of: Calibrated, seal: str, *, author: str, reason: str) -> None:
        """Makes an earlier calibration active again, as a new entry.

        Raises:
            LinewardenError: nothing was changed; the message says why.
        """
        _calibrations("rollback", of, seal, f"--author={author}", f"--reason={reason}")


def calibrated_of(config: LineConfig) -> list[Calibrated]:
    """Returns the recipes of bundles that the views of a line inspect with, each once."""
    numbers: dict[tuple[Path, str], list[int]] = {}
    for number, one in sorted(config.by_number().items(), key=lambda one: one[0] or 0):
        for view in one.all_views.values():
            key = (view.bundle or one.bundle, view.recipe or one.recipe)
            numbers.setdefault(key, []).extend([number] if number is not None else [])
    return [Calibrated(*key, tuple(dict.fromkeys(found))) for key, found in numbers.items()]


@dataclass(frozen=True)
class MissingRight:
    """The right to write that the panel lacks for a change.

    Attributes:
        user: of the panel.
        owner: of the bundle, who must be able to read the calibrations of the panel.
        folder: the bundle.
        paths: which the user must be able to write.
    """

    user: str
    owner: str
    folder: Path
    paths: tuple[Path, ...]


def missing_right(of: Calibrated) -> MissingRight | None:
    """Returns the right that the panel lacks to add a calibration; None when it has it.

    A file system that is read-only for the panel, as under systemd's `ProtectSystem`, counts too.
    """
    folder = of.bundle.resolve()
    history = folder / CALIBRATION_FOLDER / HISTORY_FOLDER
    lock = folder / LOCK
    needed = (
        folder / CALIBRATION_FOLDER,
        lock if lock.exists() else folder,
        *(path for path in (history, history / of.recipe) if path.exists()),
    )
    paths = tuple(path for path in needed if not os.access(path, os.W_OK))
    if not paths:
        return None
    return MissingRight(_name(os.geteuid()), _name(folder.stat().st_uid), folder, paths)


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _calibrations(action: str, of: Calibrated, *words: str) -> str:
    bundle = str(of.bundle.absolute())
    return linewarden("calibrations", action, bundle, *words, f"--recipe={of.recipe}")
