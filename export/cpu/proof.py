"""Proves what a processor can run: each candidate on the golden frames and on good images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.cpu.candidates import Candidate
from export.precision.margins import FEWEST_GOOD, FirstLook, first_look
from export.precision.outcome import Expected, Outcome, Yardstick
from inspection.bundle import REFERENCE_ARTEFACT, Bundle, Chosen
from inspection.engine import Engine
from inspection.errors import EngineError
from inspection.files import sha256_of
from inspection.golden import GoldenFrame, allowance, golden_frames, golden_results
from inspection.images import read_frame
from inspection.opening import open_chosen
from inspection.preprocess import preprocess

MAX_GOOD = 32  # good images that prove an artefact; more take longer and show the same
_MAX_REASON = 200  # characters
_FEW = f"needs {FEWEST_GOOD} good images that the model has not learnt, and has {{}}: --good"


@dataclass
class Tried:
    """A candidate on the way: open while it holds, with a remark once it does not.

    Attributes:
        look: what it would do as a first stage; None for the FP32 graph, and beyond the budget.
    """

    candidate: Candidate
    engine: Engine | None = None
    outcome: Outcome | None = None
    look: FirstLook | None = None
    remark: str = ""


@dataclass(frozen=True)
class Proof:
    """What every candidate must reproduce: the good images first, then the golden frames.

    Attributes:
        good: number of the good images, which the model has not learnt.
    """

    bundle: Bundle
    threads: int | None
    golden: list[GoldenFrame]
    expected: list[Expected]
    yardstick: Yardstick
    good: int

    @property
    def threshold(self) -> float:
        """Returns the score above which the checkpoint rejects a frame."""
        return self.bundle.manifest.parity.threshold


def proof_for(bundle: Bundle, good: Sequence[Path], threads: int | None) -> Proof:
    """Prepares the frames, and scores the good ones with the FP32 graph on ONNX Runtime."""
    way = bundle.manifest.preprocessing
    images = [
        preprocess(read_frame(path, way.window), way)[np.newaxis]
        for path in _spread(_unlearnt(bundle, good))
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
    return Proof(bundle, threads, golden, expected, yardstick, good=len(images))


def _unlearnt(bundle: Bundle, images: Sequence[Path]) -> list[Path]:
    """Returns the images that the model was not fitted to, each content once.

    Scores of learnt images are lower and differ less than those of new parts.
    """
    learnt = bundle.trained_on()
    by_content = {sha256_of(path): path for path in images}
    return [path for sha256, path in by_content.items() if sha256 not in learnt]


def _spread(images: Sequence[Path]) -> list[Path]:
    """Returns at most `MAX_GOOD` of them, evenly spaced."""
    if not images:
        return []
    places = np.linspace(0, len(images) - 1, min(len(images), MAX_GOOD)).astype(int)
    return [images[place] for place in places]


def prove(proof: Proof, candidate: Candidate, stack: ExitStack, *, keeps_open: bool) -> Tried:
    """Opens a candidate and compares its results.

    Args:
        keeps_open: it stays open also when it does not hold.
    """
    tried = Tried(candidate, remark=candidate.obstacle)
    if tried.remark:
        return tried
    chosen = Chosen(candidate.engine, candidate.artefact, candidate.compute)
    try:
        with _closed_on_error(open_chosen(proof.bundle, chosen, threads=proof.threads)) as engine:
            got = {n: engine.infer(frame.image) for n, frame in enumerate(proof.expected)}
            tried.outcome = proof.yardstick.outcome(got)
            tried.remark = _beyond_budget(candidate, tried.outcome)
            if not tried.remark and candidate.is_exact:
                tried.remark = _wrong_decisions(proof, candidate, tried.outcome, engine)
            elif not tried.remark and proof.good < FEWEST_GOOD:
                tried.remark = _FEW.format(proof.good)
            elif not tried.remark:
                tried.look = first_look(proof.expected, got, proof.threshold, good=proof.good)
                tried.remark = _wrong_passes(tried.look)
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


def _beyond_budget(candidate: Candidate, outcome: Outcome) -> str:
    budget = candidate.budget
    score = outcome.parity.score / max(outcome.parity.score_range, 1e-12)
    for what, found, limit in (
        ("scores of good parts", outcome.good, budget.good),
        ("scores", score, budget.score),
        ("maps", outcome.map, budget.map),
    ):
        if not found <= limit:
            return f"{what} differ by {found:.1%} of their spread, and at most {limit:.1%} may be"
    return ""


def _wrong_passes(look: FirstLook) -> str:
    return f"would pass {', '.join(look.wrongly_passed)}" if look.wrongly_passed else ""


def _wrong_decisions(proof: Proof, candidate: Candidate, outcome: Outcome, engine: Engine) -> str:
    """Returns why the FP32 graph on an engine cannot decide here."""
    if outcome.parity.verdict_flips:
        return f"{outcome.parity.verdict_flips} of {outcome.parity.frames} verdicts flip"
    allowed = allowance(proof.bundle, candidate.artefact)
    results = golden_results(proof.bundle, engine, proof.golden)
    wrong = [result.frame.name for result in results if not allowed.covers(result)]
    return f"would not pass the self-test of a line on {', '.join(wrong)}" if wrong else ""
