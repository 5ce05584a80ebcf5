"""All calibrations of a recipe, with author, time, reason and images: compares and restores them.

The file of the active calibration is `calibration/<recipe>.json`; the replaced ones are in
`calibration/history/<recipe>`. Nothing is deleted: a rollback makes a new entry with the old
thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from operator import gt
from pathlib import Path

from calibration.activation import activate, require_reason
from calibration.good_parts import good_part_values, reject_by_zone
from inspection.bundle import Bundle, calibrated_recipes
from inspection.bundle.bundle import HISTORY_FOLDER
from inspection.bundle.calibration_file import Calibration
from inspection.bundle.manifest import CALIBRATION_FOLDER
from inspection.errors import BundleError, ConfigError
from reports.proportion import Proportion, proportion

ACTIVE = "active"
_SHORTEST_SEAL = 8  # hexadecimal digits that name a calibration


@dataclass(frozen=True)
class Entry:
    """One calibration of a recipe.

    Attributes:
        name: time of the calibration, `20261121T041401Z`; several of one second have numbers.
        damaged: reason why the file cannot be used; None for a whole one.
    """

    name: str
    path: Path
    is_active: bool
    calibration: Calibration | None
    damaged: str | None = None

    def whole(self) -> Calibration:
        """Returns the calibration.

        Raises:
            BundleError: the file is damaged.
        """
        if self.calibration is None:
            raise BundleError(self.damaged or f"{self.path}: cannot be read")
        return self.calibration


@dataclass(frozen=True)
class Comparison:
    """An older and a newer calibration, on the same scale of scores.

    Attributes:
        parts: number of good parts of the older and of the newer.
        shared: parts of the newer with an image, or with the name of a part, that the older has
            too.
        rejected: parts of the newer that the older threshold rejects.
        rejected_unseen: likewise, among the parts that are new to the older; None without any. Only
            these are independent of the older threshold, so the bounds hold for them alone.
        rejected_by_newer: parts of the older that the newer threshold rejects.
        largest_shift: largest difference of the scores of an image in both; 0 through the same
            engine; None without such an image.
    """

    older: Calibration
    newer: Calibration
    parts: tuple[int, int]
    shared: int
    rejected: Proportion
    rejected_unseen: Proportion | None
    rejected_by_newer: Proportion
    largest_shift: float | None


def recipes(bundle: Bundle) -> list[str]:
    """Lists the recipes that have, or had, a calibration."""
    before = bundle.folder / CALIBRATION_FOLDER / HISTORY_FOLDER
    return sorted(
        {
            *calibrated_recipes(bundle.folder),
            *(path.name for path in before.glob("*") if path.is_dir()),
        }
    )


def history(bundle: Bundle, recipe: str) -> list[Entry]:
    """Lists the calibrations of a recipe: the active one, then the others from newest to oldest.

    Raises:
        BundleError: the recipe was never calibrated.
    """
    if recipe not in recipes(bundle):
        there = ", ".join(recipes(bundle)) or "none"
        raise BundleError(
            f"{bundle.folder}: recipe {recipe!r} was never calibrated; calibrated recipes: {there}"
        )
    active = bundle.calibration_path(recipe)
    entries = [_active_entry(bundle, active)] if active.exists() else []
    seals = {entry.calibration.seal for entry in entries if entry.calibration}
    kept = [_entry(bundle, path) for path in bundle.history_folder(recipe).glob("[!.]*.json")]
    # A power cut between the two writes of a calibration leaves the active one in both places.
    others = [e for e in kept if e.calibration is None or e.calibration.seal not in seals]
    return entries + sorted(others, key=_by_time, reverse=True)


def find(bundle: Bundle, recipe: str, name: str) -> Entry:
    """Finds a calibration by its time or the start of its seal; `active` is the active one.

    Raises:
        BundleError: none or several have this name.
    """
    entries = history(bundle, recipe)
    found = [entry for entry in entries if _is_named(entry, name)]
    if len(found) == 1:
        return found[0]
    there = ", ".join(entry.name for entry in entries)
    what = "more than one calibration" if found else "no calibration"
    raise BundleError(
        f"{bundle.folder}: recipe {recipe!r} has {what} {name!r}; it has {there}: name one of "
        f"these, or give the first {_SHORTEST_SEAL} digits or more of its seal"
    )


def compare(older: Calibration, newer: Calibration) -> Comparison:
    """Applies the thresholds of each calibration to the good parts of the other.

    Raises:
        ConfigError: the calibrations used different artefacts or layouts, so that their scores have
            no common scale, or one of them holds no scores.
    """
    if older.artefact_sha256 != newer.artefact_sha256 or not older.fits_engine(newer.engine):
        on_older, on_newer = (f" on {one.engine}" if one.engine else "" for one in (older, newer))
        raise ConfigError(
            f"the calibration {older.moment} came through {older.artefact}{on_older} "
            f"({older.artefact_sha256[:12]}) and {newer.moment} through {newer.artefact}{on_newer} "
            f"({newer.artefact_sha256[:12]}): their scores have no common scale; calibrate the "
            "same artefact twice"
        )
    for calibration in (older, newer):
        if not calibration.scores:
            raise ConfigError(
                f"the calibration {calibration.moment} holds no scores of good parts: there is "
                "nothing to compare"
            )
    if older.layout != newer.layout:
        raise ConfigError(
            f"the calibrations {older.moment} and {newer.moment} have different zones or "
            "alignments: their scores have no common scale"
        )
    before, after = good_part_values(older), good_part_values(newer)
    seen = {newer.parts.get(image, image) for image in newer.scores if image in older.scores}
    # A new image of a part is alike the old ones: the older threshold has seen that part.
    seen |= after.keys() & set(older.parts.values())
    unseen = {part: score for part, score in after.items() if part not in seen}
    shifts = [
        abs(a - b)
        for one in older.scores.keys() & newer.scores
        for a, b in zip(_values(older, one), _values(newer, one), strict=True)
    ]
    return Comparison(
        older=older,
        newer=newer,
        parts=(len(before), len(after)),
        shared=len(seen),
        rejected=_rejected(after, older),
        rejected_unseen=_rejected(unseen, older) if unseen else None,
        rejected_by_newer=_rejected(before, newer),
        largest_shift=max(shifts, default=None),
    )


def roll_back(bundle: Bundle, recipe: str, name: str, *, author: str, reason: str) -> Calibration:
    """Makes an older calibration active again, as a new entry; returns that entry.

    Raises:
        BundleError: there is no such calibration, it is active already, or its artefact is not the
            one of the active calibration or of the bundle as it is now.
        ConfigError: there is no reason.
    """
    require_reason(reason, "a rollback")
    entry = find(bundle, recipe, name)
    old = entry.whole()
    if entry.is_active:
        raise BundleError(f"{bundle.folder}: {entry.name} is the active calibration of {recipe!r}")
    active = next((one.calibration for one in history(bundle, recipe) if one.is_active), None)
    _require_same_artefact(bundle, entry.name, old, active)
    return activate(
        bundle,
        old,
        author=author,
        reason=f"rollback to {entry.name} ({old.seal[:12]}): {reason}",
        replaces=active.seal if active is not None else "",
    )


def _require_same_artefact(
    bundle: Bundle, name: str, old: Calibration, active: Calibration | None
) -> None:
    actual = bundle.sha256(old.artefact)
    mend = f"linewarden calibrate {bundle.folder} --recipe {old.recipe} --good FOLDER"
    if actual != old.artefact_sha256:
        raise BundleError(
            f"{bundle.folder}: the calibration {name} came through {old.artefact} "
            f"({old.artefact_sha256[:12]}), and {old.artefact} is {actual[:12]} now; thresholds "
            f"hold for the artefact they were measured through: {mend}"
        )
    if active is None:
        return
    if bundle.bound_to(active.artefact) != bundle.bound_to(old.artefact):
        raise BundleError(
            f"{bundle.folder}: the calibration {name} came through {old.artefact}, and the active "
            f"one through {active.artefact}; a line that runs that artefact would no longer start: "
            f"{mend} --artefact {active.artefact}"
        )
    if not old.fits_engine(active.engine):
        raise BundleError(
            f"{bundle.folder}: the calibration {name} came through {old.artefact} on {old.engine}, "
            f"and the active one on {active.engine}; a line that runs that engine would no longer "
            f"start: {mend} --artefact {active.artefact} --engine {active.engine}"
        )


def _active_entry(bundle: Bundle, path: Path) -> Entry:
    """Reads the active calibration, under the name that it will have in the history."""
    entry = _entry(bundle, path)
    if entry.calibration is None:
        return replace(entry, name=ACTIVE, is_active=True)
    moment, recipe = entry.calibration.moment, entry.calibration.recipe
    kept = bundle.history_path(recipe, moment, path.read_bytes())
    return replace(entry, name=kept.stem, is_active=True)


def _entry(bundle: Bundle, path: Path) -> Entry:
    mend = "linewarden does not use the file; it is kept so that you can look at it"
    try:
        calibration = bundle.read_calibration(path, mend)
    except BundleError as error:
        return Entry(path.stem, path, is_active=False, calibration=None, damaged=str(error))
    return Entry(path.stem, path, is_active=False, calibration=calibration)


def _by_time(entry: Entry) -> tuple[str, int]:
    moment, _, number = entry.name.removeprefix("damaged-").partition("-")
    return moment, int(number) if number.isdecimal() else 1


def _is_named(entry: Entry, name: str) -> bool:
    if name == ACTIVE:
        return entry.is_active
    seal = entry.calibration.seal if entry.calibration else ""
    return entry.name == name or (len(name) >= _SHORTEST_SEAL and seal.startswith(name))


def _values(calibration: Calibration, image: str) -> tuple[float, ...]:
    return calibration.zone_scores.get(image, (calibration.scores[image],))


def _rejected(parts: Mapping[str, tuple[float, ...]], by: Calibration) -> Proportion:
    thresholds = reject_by_zone(by)
    count = sum(any(map(gt, values, thresholds)) for values in parts.values())
    return proportion(count, len(parts), confidence=by.confidence)
