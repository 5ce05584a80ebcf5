"""Labelled parts on disk, each with one picture or with several shots.

::

    DATA/good/<part>.png          or   DATA/good/<part>/<shot>.png
    DATA/<defect>/<part>.png           DATA/<defect>/<part>/<shot>.png

A folder `test` in DATA takes its place. Folders `ground_truth` are ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inspection.errors import CameraError, ConfigError, named
from inspection.files import sha256_of
from inspection.images import Tell, content_of, list_images, refuse_nearly_good
from inspection.names import printable

GOOD = "good"
REPEATS = 3  # as AIAG asks
_MASKS = "ground_truth"


@dataclass(frozen=True)
class Part:
    """A labelled part.

    Attributes:
        name: label and part: `good/017.png`.
        shots: its pictures, one for each showing; a single one serves all showings.
    """

    name: str
    label: str
    shots: tuple[Path, ...]


@dataclass(frozen=True)
class Plan:
    """The parts of a study and the number of their showings.

    Attributes:
        repeats: showings of each part.
        passed_over: sentences about files that are not shown.
    """

    data_set: str
    parts: tuple[Part, ...]
    repeats: int
    passed_over: tuple[str, ...] = ()

    @property
    def has_shots(self) -> bool:
        """True when each showing is another picture."""
        return self.repeats > 1 and len(self.parts[0].shots) == self.repeats


def read_plan(folder: Path, repeats: int | None) -> Plan:
    """Lists the parts of a labelled folder.

    Args:
        repeats: showings of each stored image, 3 for None. With folders of shots, their number or
            None.

    Raises:
        CameraError: the folder is missing or empty, mixes images and folders of shots, or has a
            folder `OK` or the like beside the defects.
        ConfigError: `repeats` is below one or not the number of shots, or parts have different
            numbers of shots.
    """
    if repeats is not None and repeats < 1:
        raise ConfigError(f"--repeats {repeats}: show each part once or more, for instance 3 times")
    root = folder / "test" if (folder / "test").is_dir() else folder
    labels = sorted(path for path in root.iterdir() if _is_folder(path)) if root.is_dir() else []
    refuse_nearly_good(labels, GOOD)
    if root / GOOD not in labels or len(labels) < 2:
        raise CameraError(
            f"{folder}: an acceptance study needs a folder {GOOD} and folders of defects in it"
        )
    passed_over = content_of(root).passed_over(
        [_MASKS, *(label.name for label in labels)], images=True, others=False
    )
    parts = tuple(part for label in labels for part in _parts_of(label, passed_over.append))
    counts = {len(part.shots) for part in parts}
    if len(counts) > 1:
        usual = max(counts, key=[len(part.shots) for part in parts].count)
        odd = [f"{part.name} ({len(part.shots)})" for part in parts if len(part.shots) != usual]
        raise ConfigError(
            f"{folder}: most parts have {usual} shots, but not {named(odd)}: take as many of each"
        )
    shots = counts.pop()
    if shots > 1 and repeats not in (None, shots):
        raise ConfigError(
            f"--repeats {repeats}: the parts in {folder} have {shots} shots each, and each shot is "
            "shown once: leave the option out"
        )
    showings = shots if shots > 1 else repeats or REPEATS
    return Plan(printable(folder.resolve().name), parts, showings, tuple(passed_over))


def image_hashes(parts: Sequence[Part], trained_on: frozenset[str]) -> dict[Path, str]:
    """Returns the SHA-256 of every picture.

    Raises:
        CameraError: a picture repeats another, or the model was trained on it.
    """
    hashes = {path: sha256_of(path) for part in parts for path in part.shots}
    first: dict[str, Path] = {}
    twice = [
        f"{printable(path)} is {printable(first[digest])}"
        for path, digest in hashes.items()
        if first.setdefault(digest, path) != path
    ]
    if twice:
        raise CameraError(
            f"{len(twice)} images repeat another and would count twice; remove them: {named(twice)}"
        )
    learnt = [printable(path) for path, digest in hashes.items() if digest in trained_on]
    if learnt:
        raise CameraError(
            f"the model was trained on {len(learnt)} of these images, so the figures would mean "
            f"nothing; show it others: {named(learnt)}"
        )
    return hashes


def _parts_of(label: Path, tell: Tell) -> list[Part]:
    folders = sorted(path for path in label.iterdir() if _is_folder(path))
    name = printable(label.name)
    if not folders:
        return [Part(f"{name}/{printable(p.name)}", name, (p,)) for p in list_images(label, tell)]
    files = [path.name for path in label.iterdir() if path.is_file() and path.name[0] != "."]
    if files:
        shown = sorted(map(printable, files))
        raise CameraError(
            f"{label}: holds folders of shots and also {named(shown)}: give each part one "
            "folder with its shots"
        )
    return [
        Part(f"{name}/{printable(path.name)}", name, tuple(list_images(path, tell)))
        for path in folders
    ]


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".") and path.name != _MASKS
