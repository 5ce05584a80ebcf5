"""Proves and times what a processor can run, and keeps the fastest that holds in the bundle."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import numpy as np

from export.cpu.candidates import Candidate, candidates_for
from export.precision.outcome import Expected, Outcome, Yardstick
from export.timing import WORTHWHILE, Image, interleaved_medians
from inspection.bundle import REFERENCE_ARTEFACT, Bundle, Chosen
from inspection.engine import Engine, engine_class
from inspection.engine.cpu_record import (
    CPU_RECORD,
    CpuRecord,
    Trial,
    engine_version,
    record_name,
    write_record,
)
from inspection.engine.processor import Processor, processor_here
from inspection.engine.sidecar import BUILD_LOCK, ENGINES_FOLDER, AccuracyGate
from inspection.errors import BundleError, EngineError
from inspection.files import new_directory
from inspection.golden import GoldenFrame, allowance, golden_frames, golden_results
from inspection.images import read_frame
from inspection.inspector import open_chosen
from inspection.preprocess import preprocess

Runs = Mapping[str, Callable[[Image], object]]

MAX_GOOD = 32  # good images that prove an artefact; more take longer and show the same
_MAX_REASON = 200  # characters


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
class CpuBuilt:
    """A record in a bundle, under this name."""

    name: str
    record: CpuRecord


@dataclass(frozen=True)
class Comparison:
    """What a build finds, before it keeps it.

    Attributes:
        kept: the trial that the record is of.
        refused: trials that do not run or do not hold.
    """

    record: CpuRecord
    kept: Trial
    refused: tuple[Trial, ...]


@dataclass
class _Tried:
    """A candidate on the way: open while it holds, with a remark once it does not."""

    candidate: Candidate
    engine: Engine | None = None
    outcome: Outcome | None = None
    times: Times | None = None
    remark: str = ""


@dataclass(frozen=True)
class _Proof:
    """What every candidate must reproduce: the good images first, then the golden frames."""

    bundle: Bundle
    threads: int | None
    golden: list[GoldenFrame]
    expected: list[Expected]
    yardstick: Yardstick


def build_for_processor(
    bundle: Bundle,
    *,
    good: Sequence[Path] = (),
    artefacts: Collection[str] = (),
    threads: int | None = None,
    processor: Processor | None = None,
    stopwatch: Stopwatch | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> CpuBuilt:
    """Chooses what this processor runs, and puts the record of it into the bundle.

    A candidate holds when no verdict flips and when its scores stay within the budget, on the
    golden frames and on good images. Of those that hold, the fastest is kept; a more precise one
    within 5 % of its time goes first. The record replaces that of an earlier build.

    Args:
        good: images of good parts; the FP32 graph on ONNX Runtime gives their expected scores. At
            most `MAX_GOOD` of them are used, evenly spaced.
        artefacts: ONNX files of the bundle to try; empty for all that a processor may run.
        threads: threads that the line will have; None for all cores.
        processor: None for the one here.
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
        found = compare_on_processor(
            bundle,
            good=good,
            artefacts=artefacts,
            threads=threads,
            processor=processor,
            stopwatch=stopwatch,
            report=report,
        )
        name = record_name(found.record.processor, found.record.precision)
        _install(bundle, name, found.record)
    return CpuBuilt(name, found.record)


def compare_on_processor(
    bundle: Bundle,
    *,
    good: Sequence[Path] = (),
    artefacts: Collection[str] = (),
    threads: int | None = None,
    times_all: bool = False,
    processor: Processor | None = None,
    stopwatch: Stopwatch | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> Comparison:
    """Proves and times the candidates as `build_for_processor` does, and writes nothing.

    Args:
        times_all: time also those that run and do not hold.

    Raises:
        BundleError, EngineError, FrameError: as `build_for_processor`.
    """
    if not bundle.manifest.golden:
        raise BundleError(
            f"{bundle.folder}: has no golden frames to compare an engine with; export it again"
        )
    here = processor_here() if processor is None else processor
    candidates = candidates_for(bundle, here, artefacts)
    proof = _proof(bundle, good, threads)
    with ExitStack() as stack:
        tried = []
        for candidate in candidates:
            report(f"proving {candidate.title}")
            tried.append(_prove(proof, candidate, stack, keeps_open=times_all))
        holding = [one for one in tried if not one.remark]
        if not holding:
            reasons = "; ".join(f"{one.candidate.title}: {one.remark}" for one in tried)
            raise EngineError(f"{bundle.folder}: nothing holds on this processor: {reasons}")
        running = [one for one in tried if one.engine is not None]
        report(f"timing {len(running)} in turn")
        _time(running, proof, stopwatch or _measure)
    best = _fastest(holding)
    trials = [_trial(one, best) for one in tried]
    by_trial = list(zip(tried, trials, strict=True))
    return Comparison(
        record=_record(proof, here, best, trials),
        kept=next(trial for one, trial in by_trial if one is best),
        refused=tuple(trial for one, trial in by_trial if one.remark),
    )


def has_choice(bundle: Bundle) -> bool:
    """Returns True when more than one candidate can run here, so that a build has a purpose."""
    candidates = candidates_for(bundle, processor_here())
    return sum(not (one.obstacle or _missing(one)) for one in candidates) > 1


def _proof(bundle: Bundle, good: Sequence[Path], threads: int | None) -> _Proof:
    places = np.unique(np.linspace(0, len(good) - 1, min(len(good), MAX_GOOD)).astype(int))
    way = bundle.manifest.preprocessing
    images = [
        preprocess(read_frame(good[place], way.window), way)[np.newaxis]
        for place in (places if len(good) else ())
    ]
    expected = []
    with closing(open_chosen(bundle, Chosen("onnxruntime", REFERENCE_ARTEFACT))) as engine:
        for number, image in enumerate(images):
            got = engine.infer(image)
            expected.append(Expected(f"good {number}", image, float(got.scores[0]), got.maps[0]))
    golden = golden_frames(bundle)
    expected += [Expected(frame.name, frame.image, frame.score, frame.map) for frame in golden]
    threshold = bundle.manifest.parity.threshold
    yardstick = Yardstick(expected, good=len(images), threshold=threshold)
    return _Proof(bundle, threads, golden, expected, yardstick)


def _prove(proof: _Proof, candidate: Candidate, stack: ExitStack, *, keeps_open: bool) -> _Tried:
    """Opens a candidate and compares its results.

    Args:
        keeps_open: it stays open also when it does not hold.
    """
    tried = _Tried(candidate, remark=candidate.obstacle)
    if tried.remark:
        return tried
    chosen = Chosen(candidate.engine, candidate.artefact, candidate.compute)
    try:
        with _closed_on_error(open_chosen(proof.bundle, chosen, threads=proof.threads)) as engine:
            got = {n: engine.infer(frame.image) for n, frame in enumerate(proof.expected)}
            tried.outcome = proof.yardstick.outcome(got)
            tried.remark = _fault(proof, candidate, engine, tried.outcome)
    except EngineError as error:
        tried.remark = f"does not run: {_shortened(str(error))}"
        return tried
    if tried.remark and not keeps_open:
        engine.close()
    else:
        tried.engine = stack.enter_context(closing(engine))
    return tried


def _shortened(reason: str) -> str:
    """Returns the start of a reason: engines name every operator that they do not take."""
    return reason if len(reason) <= _MAX_REASON else f"{reason[:_MAX_REASON]}..."


@contextmanager
def _closed_on_error(engine: Engine) -> Iterator[Engine]:
    try:
        yield engine
    except BaseException:
        engine.close()
        raise


def _missing(candidate: Candidate) -> bool:
    try:
        engine_class(candidate.engine)
    except EngineError:
        return True
    return False


def _fault(proof: _Proof, candidate: Candidate, engine: Engine, outcome: Outcome) -> str:
    """Returns why a candidate does not hold; empty when it does."""
    budget, flips = candidate.budget, outcome.parity.verdict_flips
    score = outcome.parity.score / max(outcome.parity.score_range, 1e-12)
    if flips:
        return f"{flips} of {outcome.parity.frames} verdicts flip"
    for what, found, limit in (
        ("scores of good parts", outcome.good, budget.good),
        ("scores", score, budget.score),
        ("maps", outcome.map, budget.map),
    ):
        if not found <= limit:
            return f"{what} differ by {found:.1%} of their spread, and at most {limit:.1%} may be"
    if candidate.compute == "fp32":
        allowed = allowance(proof.bundle, candidate.artefact)
        results = golden_results(proof.bundle, engine, proof.golden)
        wrong = [result.frame.name for result in results if not allowed.covers(result)]
        if wrong:
            return f"would not pass the self-test of a line on {', '.join(wrong)}"
    return ""


def _measure(runs: Runs, images: Sequence[Image]) -> dict[str, Times]:
    steady = interleaved_medians(runs, images, rounds=15)
    gaps = interleaved_medians(runs, images, rounds=5, gap_s=0.05)
    return {name: Times(1e3 * steady[name], 1e3 * gaps[name]) for name in runs}


def _time(running: Sequence[_Tried], proof: _Proof, stopwatch: Stopwatch) -> None:
    runs = {one.candidate.title: one.engine.infer for one in running if one.engine is not None}
    times = stopwatch(runs, [frame.image for frame in proof.expected])
    for one in running:
        one.times = times[one.candidate.title]


def _fastest(holding: Sequence[_Tried]) -> _Tried:
    """Returns the first, most precise one that is not clearly slower than the fastest."""
    by_time = [(one.times.mean_ms, one) for one in holding if one.times is not None]
    limit = min(time for time, _ in by_time) / WORTHWHILE
    return next(one for time, one in by_time if time <= limit)


def _record(proof: _Proof, here: Processor, best: _Tried, trials: Sequence[Trial]) -> CpuRecord:
    chosen = best.candidate
    return CpuRecord(
        linewarden_version=version("linewarden"),
        built_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        engine=chosen.engine,
        engine_version=engine_version(chosen.engine),
        artefact=chosen.artefact,
        artefact_sha256=proof.bundle.manifest.files[chosen.artefact],
        compute=chosen.compute,
        precision=chosen.precision,
        processor=here,
        threads=proof.threads,
        trials=tuple(trials),
        gate=_gate(best),
    )


def _trial(one: _Tried, best: _Tried) -> Trial:
    candidate = one.candidate
    trial = Trial(
        engine=candidate.engine,
        artefact=candidate.artefact,
        compute=candidate.compute,
        remark=one.remark or ("kept" if one is best else _slower(one, best)),
    )
    if one.outcome is not None:
        parity = one.outcome.parity
        measured = {
            "verdict_flips": parity.verdict_flips,
            "good": _finite(one.outcome.good),
            "score": _finite(parity.score / max(parity.score_range, 1e-12)),
        }
        trial = trial.model_copy(update=measured)
    if one.times is not None:
        times = {"median_ms": one.times.steady_ms, "after_gap_ms": one.times.after_gap_ms}
        trial = trial.model_copy(update=times)
    return trial


def _slower(one: _Tried, best: _Tried) -> str:
    if one.times is None or best.times is None:
        return ""
    ratio = one.times.mean_ms / best.times.mean_ms
    if ratio < 1:
        return "hardly faster than the more precise one"
    return f"{ratio:.2f} x the time of the kept one"


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _gate(best: _Tried) -> AccuracyGate:
    if best.outcome is None:
        raise ValueError("a candidate that holds was compared")
    parity = best.outcome.parity
    return AccuracyGate(
        frames=parity.frames,
        score=parity.score,
        map=parity.map,
        relative=parity.score / max(parity.score_range, 1e-12),
        tolerance=best.candidate.budget.score,
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
    bundle.file(name)
