"""Tries another layout of a recipe before the line takes it.

Thresholds hold for one layout only, so a trial measures new ones: from the same kind of good parts,
with the promise of the active calibration. Then it judges given parts with both calibrations. What
was tried is what `take` makes active; nothing is measured again in between.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal

from calibration.activation import activate, require_reason
from calibration.calibrate import CalibrationSettings, measure
from calibration.history import ACTIVE, find
from calibration.statements import describe
from calibration.thresholds import CalibrationTargets
from calibration.tolerance import target_of
from inspection.bundle import Bundle
from inspection.bundle.calibration_file import Calibration
from inspection.errors import BundleError, ConfigError
from inspection.files import sha256_of
from inspection.images import Window, read_frame
from inspection.inspector import Inspection, Inspector
from inspection.layout import Layout
from inspection.names import printable
from inspection.opening import open_engine
from inspection.trust.sealed import Strict, parse_record, read_content
from inspection.verdict import Verdict

_MOVED = "sensitivity "  # begins the reason of a calibration that `move_slider` made


class Judged(Strict):
    """The result of a part by one calibration.

    Attributes:
        score: None without a verdict.
        zone: that decided; empty for the whole frame.
        message: why there is no verdict.
    """

    verdict: Verdict
    score: float | None
    zone: str = ""
    message: str = ""


class TriedPart(Strict):
    """A part, judged by the active calibration and by the one on trial."""

    image: str
    before: Judged
    after: Judged


class LayoutTrial(Strict):
    """The outcome of a trial.

    Attributes:
        replaces: seal of the calibration that was active.
        calibration: thresholds and layout on trial, without a seal.
        parts: that were judged, in the given order.
        missing: images of parts that are no longer there.
        statements: what the thresholds promise, and what a person should know before taking them.
    """

    schema_version: Literal[1] = 1
    replaces: str
    calibration: Calibration
    parts: tuple[TriedPart, ...]
    missing: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()

    @property
    def changed(self) -> tuple[TriedPart, ...]:
        """The parts that get another verdict."""
        return tuple(one for one in self.parts if one.before.verdict != one.after.verdict)


def try_layout(
    bundle: Bundle,
    recipe: str,
    layout: Layout,
    good: Sequence[Path],
    parts: Sequence[Path],
    *,
    engine: str | None = None,
    threads: int | None = None,
    report: Callable[[], object] = lambda: None,
) -> LayoutTrial:
    """Measures thresholds for a layout, and judges parts with them and with the active ones.

    Args:
        good: images of good parts.
        parts: images of parts to judge; those that are gone are named in the result.
        report: called after each image.

    Raises:
        BundleError: the recipe has no whole calibration.
        CameraError: an image cannot be used.
        ConfigError: there are too few good parts for the promise, or they lack names.
        EngineError: the artefact does not run.
    """
    active = find(bundle, recipe, ACTIVE).whole()
    bundle.calibration(recipe, active.artefact, engine or "")  # refuses another engine
    engine = engine or active.engine or None
    settings = CalibrationSettings(
        recipe=recipe,
        layout=layout,
        engine=engine,
        artefact=active.artefact,
        threads=threads,
        without=active.without,
    )
    result = measure(bundle, good, targets_of(bundle, active, good), settings, report=report)
    there = [path for path in parts if path.is_file()]
    with closing(
        open_engine(bundle, engine=engine, artefact=active.artefact, threads=threads)
    ) as opened:
        judges = [Inspector(bundle, one, opened) for one in (active, result.calibration)]
        window = bundle.manifest.preprocessing.window
        tried = [_tried(path, judges, window, report) for path in there]
    return LayoutTrial(
        replaces=active.seal,
        calibration=result.calibration,
        parts=tuple(tried),
        missing=tuple(printable(path) for path in parts if path not in there),
        statements=(*describe(result), *_notes(active)),
    )


def take(bundle: Bundle, trial: LayoutTrial, *, author: str, reason: str) -> Calibration:
    """Makes the calibration of a trial active; the one before goes to the history.

    Raises:
        BundleError: another calibration is active than at the trial, or the artefact is another.
        ConfigError: there is no reason.
    """
    require_reason(reason, "taking a layout")
    tried = trial.calibration
    if bundle.sha256(tried.artefact) != tried.artefact_sha256:
        raise BundleError(
            f"{bundle.folder}: {tried.artefact} is another than at the trial: try the layout again"
        )
    return activate(bundle, tried, author=author, reason=reason, replaces=trial.replaces)


def read_trial(path: Path) -> LayoutTrial:
    """Reads a trial that `linewarden layout try --save` wrote.

    Raises:
        BundleError: it cannot be read, or is none.
    """
    mend = "make it with linewarden layout try"
    return parse_record(read_content(path, mend), path, LayoutTrial, mend)


def targets_of(bundle: Bundle, active: Calibration, good: Sequence[Path]) -> CalibrationTargets:
    """Returns the promise of a calibration, for other thresholds from images of good parts.

    A calibration keeps the bound of its review band and not the rate that was asked for: the bound
    takes its place. It keeps the names of parts and lots by image, so they come from there; images
    that do not count have none.
    """
    skipped = bundle.trained_on() | active.without.keys()
    return CalibrationTargets(
        false_reject_rate=active.false_reject_rate_target,
        confidence=active.confidence,
        review_rate=active.review_rate_bound and target_of(active.review_rate_bound),
        part_of=_namer("parts", active.parts, good, skipped),
        lot_of=_namer("lots", active.lots, good, skipped),
        extrapolate=active.modelled_rate is not None,
    )


def _namer(
    what: str, names: Mapping[str, str], good: Sequence[Path], skipped: Collection[str]
) -> Callable[[Path], str] | None:
    if not names:
        return None
    hashes = {path: sha256_of(path) for path in good}
    unknown = [path for path, one in hashes.items() if one not in names and one not in skipped]
    if unknown:
        raise ConfigError(
            f"{printable(unknown[0])}: the active calibration names the {what} of its images, and "
            "this is none of them: calibrate with --layout, --part-name and --lot-name instead"
        )
    return lambda path: names.get(hashes[path], hashes[path])


def _tried(
    path: Path, judges: Sequence[Inspector], window: Window | None, report: Callable[[], object]
) -> TriedPart:
    frame = read_frame(path, window)
    before, after = (_judged(one.inspect(frame)) for one in judges)
    report()
    return TriedPart(image=printable(path), before=before, after=after)


def _judged(found: Inspection) -> Judged:
    score = found.score if math.isfinite(found.score) else None
    return Judged(verdict=found.verdict, score=score, zone=found.zone, message=found.message)


def _notes(active: Calibration) -> list[str]:
    if not active.reason.startswith(_MOVED):
        return []
    note = (
        f"the sensitivity was moved by hand ({active.reason}); the new thresholds keep "
        "the promise of that position: look at them with linewarden calibrations sensitivity"
    )
    return [note]
