"""Proves and times what a processor can run, and keeps the fastest that holds in the bundle."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from export.cpu.candidates import Candidate, candidates_for
from export.cpu.proof import Proof, Tried, proof_for, prove
from export.timing import WORTHWHILE, Image, interleaved_medians
from inspection.bundle import Bundle
from inspection.engine import engine_class
from inspection.engine.cpu_record import (
    CPU_RECORD,
    CpuRecord,
    FirstStage,
    Stage,
    Trial,
    engine_version,
    record_name,
    write_record,
)
from inspection.engine.processor import Processor, processor_here
from inspection.engine.sidecar import BUILD_LOCK, ENGINES_FOLDER, AccuracyGate
from inspection.errors import BundleError, EngineError
from inspection.files import new_directory

Runs = Mapping[str, Callable[[Image], object]]


@dataclass(frozen=True)
class Times:
    """Median milliseconds of one inference: one after the other, and each after an idle gap."""

    steady_ms: float
    after_gap_ms: float

    @property
    def mean_ms(self) -> float:
        """Returns the time that candidates are compared by: lines have both kinds of load."""
        return (self.steady_ms + self.after_gap_ms) / 2


Stopwatch = Callable[[Runs, Sequence[Image]], dict[str, Times]]


@dataclass(frozen=True)
class CpuBuildSettings:
    """What a build tries, and with what.

    Attributes:
        good: images of good parts; the FP32 graph on ONNX Runtime gives their expected scores. Of
            those that the model has not learnt, at most `MAX_GOOD` are used, evenly spaced.
        artefacts: ONNX files of the bundle to try beside the FP32 graph; empty for all that a
            processor may run.
        threads: threads that the line will have; None for all cores.
        times_all: time also those that run and do not hold.
    """

    good: Sequence[Path] = ()
    artefacts: Collection[str] = ()
    threads: int | None = None
    times_all: bool = False


DEFAULT = CpuBuildSettings()


@dataclass(frozen=True)
class CpuBuilt:
    """A record in a bundle, under this name."""

    name: str
    record: CpuRecord


@dataclass(frozen=True)
class Comparison:
    """What a build finds, before it keeps it.

    Attributes:
        first: the trial that sees every part.
        exact: the trial that decides: the same one without a cascade.
        refused: trials that do not run or do not hold.
    """

    record: CpuRecord
    first: Trial
    exact: Trial
    refused: tuple[Trial, ...]


def build_for_processor(
    bundle: Bundle,
    settings: CpuBuildSettings = DEFAULT,
    *,
    stopwatch: Stopwatch | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> CpuBuilt:
    """Chooses what this processor runs, and puts the record of it into the bundle.

    The fastest form of the FP32 graph decides. A lower precision may pass clearly good parts before
    it: its time is its own and that of the FP32 graph for the share of good parts that it leaves to
    it. A candidate holds when its scores stay within the budget on the golden frames and on good
    images, when the FP32 graph flips no verdict, and a lower precision passes no frame that the
    checkpoint rejects. Of those that hold, the fastest is kept; a more precise one within 5 % of
    its time goes first. The record replaces that of an earlier build.

    Args:
        stopwatch: measures the candidates; None runs them in turn.
        report: called with a line about each step.

    Raises:
        BundleError: the bundle has no golden frames or lacks an artefact, or cannot be written to.
        ConfigError: this machine trusts keys and has no key to sign with.
        EngineError: no candidate holds.
        FrameError: an image is not one that the model takes.
    """
    bundle.keys.require_for_records()
    with bundle.locked(BUILD_LOCK):
        found = compare_on_processor(bundle, settings, stopwatch=stopwatch, report=report)
        name = record_name(found.record.processor, found.record.precision)
        _install(bundle, name, found.record)
    return CpuBuilt(name, found.record)


def compare_on_processor(
    bundle: Bundle,
    settings: CpuBuildSettings = DEFAULT,
    *,
    stopwatch: Stopwatch | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> Comparison:
    """Proves and times the candidates as `build_for_processor` does, and writes nothing.

    Raises:
        BundleError, EngineError, FrameError: as `build_for_processor`.
    """
    if not bundle.manifest.golden:
        raise BundleError(
            f"{bundle.folder}: has no golden frames to compare an engine with; export it again"
        )
    here = processor_here()
    candidates = candidates_for(bundle, here, settings.artefacts)
    proof = proof_for(bundle, settings.good, settings.threads)
    with ExitStack() as stack:
        tried = []
        for candidate in candidates:
            report(f"proving {candidate.title}")
            tried.append(prove(proof, candidate, stack, keeps_open=settings.times_all))
        if not any(one.candidate.is_exact and not one.remark for one in tried):
            reasons = "; ".join(f"{one.candidate.title}: {one.remark}" for one in tried)
            raise EngineError(f"{bundle.folder}: nothing holds on this processor: {reasons}")
        running = [one for one in tried if one.engine is not None]
        report(f"timing {len(running)} in turn")
        times = _times(running, proof, stopwatch or _measure)
    choice = _chosen(tried, times)
    trials = [_trial(one, choice) for one in tried]
    of = {id(one): trial for one, trial in zip(tried, trials, strict=True)}
    return Comparison(
        record=_record(proof, here, choice, trials),
        first=of[id(choice.first)],
        exact=of[id(choice.exact)],
        refused=tuple(of[id(one)] for one in tried if one.remark),
    )


def has_choice(bundle: Bundle) -> bool:
    """Returns True when more than one candidate can run here, so that a build has a purpose."""
    candidates = candidates_for(bundle, processor_here())
    return sum(not (one.obstacle or _missing(one)) for one in candidates) > 1


def _missing(candidate: Candidate) -> bool:
    try:
        engine_class(candidate.engine)
    except EngineError:
        return True
    return False


def _measure(runs: Runs, images: Sequence[Image]) -> dict[str, Times]:
    steady = interleaved_medians(runs, images, rounds=15)
    gaps = interleaved_medians(runs, images, rounds=5, gap_s=0.05)
    return {name: Times(1e3 * steady[name], 1e3 * gaps[name]) for name in runs}


def _times(running: Sequence[Tried], proof: Proof, stopwatch: Stopwatch) -> dict[str, Times]:
    """Returns the times of open candidates, by title."""
    runs = {one.candidate.title: one.engine.infer for one in running if one.engine is not None}
    return stopwatch(runs, [frame.image for frame in proof.expected])


@dataclass(frozen=True)
class _Choice:
    """What a build keeps.

    Attributes:
        first: sees every part; the same as `exact` without a cascade.
        times: of single inferences, by title of the candidate.
    """

    first: Tried
    exact: Tried
    times: Mapping[str, Times]

    def time_ms(self, one: Tried) -> float:
        """Returns the mean time for a good part, with the second look that a stage causes."""
        return _time_ms(one, self.exact, self.times)


def _time_ms(one: Tried, exact: Tried, times: Mapping[str, Times]) -> float:
    share = 0.0 if one.look is None else one.look.second_look
    return times[one.candidate.title].mean_ms + share * times[exact.candidate.title].mean_ms


def _chosen(tried: Sequence[Tried], times: Mapping[str, Times]) -> _Choice:
    """Chooses the form of the FP32 graph, and then what goes before it, if anything does."""
    holding = [one for one in tried if not one.remark]
    forms = [one for one in holding if one.candidate.is_exact]
    exact = _fastest([(_time_ms(one, one, times), one) for one in forms])
    others = [exact, *(one for one in holding if not one.candidate.is_exact)]
    first = _fastest([(_time_ms(one, exact, times), one) for one in others])
    return _Choice(first, exact, times)


def _fastest(timed: Sequence[tuple[float, Tried]]) -> Tried:
    """Returns the first, most precise one that is not clearly slower than the fastest."""
    limit = min(time for time, _ in timed) / WORTHWHILE
    return next(one for time, one in timed if time <= limit)


def _record(proof: Proof, here: Processor, choice: _Choice, trials: Sequence[Trial]) -> CpuRecord:
    return CpuRecord(
        linewarden_version=version("linewarden"),
        built_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        precision=choice.first.candidate.precision,
        processor=here,
        threads=proof.threads,
        exact=Stage(**_stage(proof, choice.exact)),
        first=_first_stage(proof, choice.first),
        trials=tuple(trials),
    )


def _stage(proof: Proof, one: Tried) -> dict[str, Any]:
    """Returns the fields of a stage."""
    candidate = one.candidate
    return {
        "engine": candidate.engine,
        "engine_version": engine_version(candidate.engine),
        "artefact": candidate.artefact,
        "artefact_sha256": proof.bundle.manifest.files[candidate.artefact],
        "compute": candidate.compute,
        "gate": _gate(one),
    }


def _first_stage(proof: Proof, one: Tried) -> FirstStage | None:
    if one.look is None:
        return None
    look = one.look
    return FirstStage(**_stage(proof, one), margin=look.margin, second_look=look.second_look)


def _trial(one: Tried, choice: _Choice) -> Trial:
    candidate, time = one.candidate, choice.times.get(one.candidate.title)
    trial = Trial(
        engine=candidate.engine,
        artefact=candidate.artefact,
        compute=candidate.compute,
        second_look=None if one.look is None else one.look.second_look,
        remark=one.remark or _remark(one, choice),
    )
    if one.outcome is not None:
        parity = one.outcome.parity
        measured = {
            "verdict_flips": parity.verdict_flips,
            "good": _finite(one.outcome.good),
            "score": _finite(parity.score / max(parity.score_range, 1e-12)),
        }
        trial = trial.model_copy(update=measured)
    if time is not None:
        measured = {"median_ms": time.steady_ms, "after_gap_ms": time.after_gap_ms}
        trial = trial.model_copy(update=measured)
    return trial


def _remark(one: Tried, choice: _Choice) -> str:
    """Returns why a candidate that holds was kept, or not."""
    if one is choice.first:
        return "kept" if one is choice.exact else "kept, passes clearly good parts"
    if one is choice.exact:
        return "kept, decides on all others"
    best = choice.exact if one.candidate.is_exact else choice.first
    ratio = choice.time_ms(one) / choice.time_ms(best)
    if ratio < 1:
        return "hardly faster than the more precise one"
    return f"{ratio:.2f} x the time of the kept one"


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _gate(one: Tried) -> AccuracyGate:
    if one.outcome is None:
        raise ValueError("a candidate that holds was compared")
    parity = one.outcome.parity
    return AccuracyGate(
        frames=parity.frames,
        score=parity.score,
        map=parity.map,
        relative=parity.score / max(parity.score_range, 1e-12),
        tolerance=one.candidate.budget.score,
        verdict_flips=parity.verdict_flips,
        threshold=parity.threshold,
    )


def _install(bundle: Bundle, name: str, record: CpuRecord) -> None:
    """Puts the record in the place of all earlier ones of this processor."""
    home = bundle.folder / ENGINES_FOLDER / record.processor.folder
    try:
        with new_directory(home, replace=True) as folder:
            path = folder / record.precision / CPU_RECORD
            path.parent.mkdir()
            write_record(path, record, bundle.keys)
    except OSError as error:
        raise BundleError(
            f"{home}: the record cannot be written ({error.strerror}); make room or repair the "
            "disk, and build again"
        ) from error
    bundle.cpu_record(name)
