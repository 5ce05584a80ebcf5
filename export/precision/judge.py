"""Comparison of graphs of lower precision: verdicts, scores, maps and time."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from export.graph import save_graph
from export.precision.rounding import rounded_twin
from export.timing import Image, interleaved_medians
from inspection.bundle.manifest import Parity
from inspection.engine import Engine, GraphShape, Prediction, engine_class
from inspection.golden import Difference, compare


@dataclass(frozen=True)
class Expected:
    """A prepared frame, uint8 (1, H, W, 3) BGR, with the checkpoint's score and map (H, W)."""

    name: str
    image: Image
    score: float
    map: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Budget:
    """Largest distance of an artefact from the checkpoint; no verdict may flip.

    Attributes:
        good: score difference of a held-out good frame, as a share of the spread of their scores.
        score: score difference of any frame, as a share of the spread of all scores.
        map: difference of any pixel, as a share of the spread of all maps.
    """

    good: float
    score: float
    map: float


# FP16 rounds, so that every frame is near. INT8 also clips: values that good parts never show score
# lower, and only verdicts count there. A quarter of the spread of good scores is below their noise.
FP16_BUDGET = Budget(good=0.05, score=5e-3, map=5e-3)
INT8_BUDGET = Budget(good=0.25, score=0.5, map=0.5)


@dataclass(frozen=True)
class Outcome:
    """Results of an artefact on all frames.

    Attributes:
        good: largest score difference of a good frame over the spread of the good scores.
        map: largest difference of a pixel over the spread of all expected maps.
    """

    parity: Parity
    good: float
    map: float

    def is_within(self, budget: Budget) -> bool:
        """Returns True when it keeps the budget; False when a value is not finite."""
        score = self.parity.score / max(self.parity.score_range, 1e-12)
        return (
            self.parity.verdict_flips == 0
            and self.good <= budget.good
            and score <= budget.score
            and self.map <= budget.map
        )


class Judge:
    """Compares graphs with the checkpoint's results, through ONNX Runtime on the CPU.

    Args:
        frames: the held-out good ones first.
        good: number of these.
        threshold: the score above which a frame is rejected.
    """

    def __init__(self, frames: Sequence[Expected], *, good: int, threshold: float) -> None:
        self.frames = tuple(frames)
        self.threshold = threshold
        self._good = good
        self._order = list(range(len(frames)))
        _, height, width, _ = frames[0].image.shape
        self._shape = GraphShape(height, width)
        scores = [frame.score for frame in frames]
        self._range = max(scores) - min(scores)
        self._good_range = (max(scores[:good]) - min(scores[:good])) or self._range
        self._map_range = float(max(f.map.max() for f in frames) - min(f.map.min() for f in frames))

    def judge(self, graph: onnx.ModelProto) -> Outcome:
        """Runs every frame through a graph; values in FP16 are rounded as on a device."""
        with self._opened(graph) as engine:
            return self._outcome({n: engine.infer(f.image) for n, f in enumerate(self.frames)})

    def keeps(self, graph: onnx.ModelProto, budget: Budget) -> bool:
        """Returns True when `judge` would find a graph within the budget.

        The first frame beyond the budget ends the comparison, and the next graph meets that frame
        first: graphs that are alike fail on the same frame.
        """
        with self._opened(graph) as engine:
            for number in self._order:
                outcome = self._outcome({number: engine.infer(self.frames[number].image)})
                if not outcome.is_within(budget):
                    self._order.remove(number)
                    self._order.insert(0, number)
                    return False
        return True

    def latency_ratios(self, graphs: dict[str, onnx.ModelProto], rounds: int) -> dict[str, float]:
        """Returns the median time of each graph over that of the first; runs are interleaved."""
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            runs: dict[str, Callable[[Image], object]] = {}
            for number, (name, graph) in enumerate(graphs.items()):
                path = Path(folder) / f"{number}.onnx"
                save_graph(graph, path)
                engine = engine_class("onnxruntime")(path, self._shape, threads=None)
                stack.enter_context(closing(engine))
                runs[name] = engine.infer
            medians = interleaved_medians(runs, [f.image for f in self.frames], rounds)
        first = next(iter(medians.values()))
        return {name: median / first for name, median in medians.items()}

    @contextmanager
    def _opened(self, graph: onnx.ModelProto) -> Iterator[Engine]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            save_graph(rounded_twin(graph), path)
            with closing(engine_class("onnxruntime")(path, self._shape, threads=None)) as engine:
                yield engine

    def _outcome(self, got: Mapping[int, Prediction]) -> Outcome:
        """Compares the results for the frames with these numbers."""
        differences: dict[int, Difference] = {}
        flips = 0
        for number, prediction in got.items():
            frame, score = self.frames[number], float(prediction.scores[0])
            flips += (frame.score > self.threshold) != (score > self.threshold)
            differences[number] = compare(frame.name, frame.score, frame.map, prediction)
        parity = Parity(
            frames=len(got),
            score=_largest([d.score for d in differences.values()]),
            map=_largest([d.map for d in differences.values()]),
            score_range=self._range,
            verdict_flips=flips,
            threshold=self.threshold,
        )
        good = _largest([d.score for number, d in differences.items() if number < self._good])
        return Outcome(
            parity, good / max(self._good_range, 1e-12), parity.map / max(self._map_range, 1e-12)
        )


def _largest(values: Sequence[float]) -> float:
    """Returns the maximum, 0 without values, infinity when a value is not finite."""
    return max(values, default=0.0) if np.isfinite(values).all() else float("inf")
