"""Comparison of graphs of lower precision: verdicts, scores, maps and time."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import onnx

from export.graph import save_graph
from export.precision.margins import FirstLook, first_look
from export.precision.outcome import Budget, Expected, Outcome, Yardstick
from export.precision.rounding import rounded_twin
from export.timing import Image, interleaved_medians
from inspection.engine import Engine, GraphShape, Prediction, engine_class
from inspection.engine.cpu_record import Compute


class Judge:
    """Compares graphs with the checkpoint's results, on the CPU.

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
        self._yardstick = Yardstick(frames, good=good, threshold=threshold)

    def judge(self, graph: onnx.ModelProto, engine: str = "onnxruntime") -> Outcome:
        """Runs every frame through a graph; values in FP16 are rounded as on a device.

        Raises:
            EngineError: the engine is not here, or does not run the graph.
        """
        return self._yardstick.outcome(self._results(graph, engine))

    def first_look(self, graph: onnx.ModelProto, engine: str) -> FirstLook:
        """Returns what a graph with finite results would do as a first stage before FP32.

        Raises:
            EngineError: the engine is not here, or does not run the graph.
        """
        got = self._results(graph, engine)
        return first_look(self.frames, got, self.threshold, good=self._good)

    def _results(self, graph: onnx.ModelProto, engine: str) -> dict[int, Prediction]:
        with self._opened(graph, engine) as opened:
            return {n: opened.infer(f.image) for n, f in enumerate(self.frames)}

    def keeps(self, graph: onnx.ModelProto, budget: Budget) -> bool:
        """Returns True when `judge` would find a graph within the budget.

        The first frame beyond the budget ends the comparison, and the next graph meets that frame
        first: graphs that are alike fail on the same frame.
        """
        with self._opened(graph) as engine:
            for number in self._order:
                outcome = self._yardstick.outcome({number: engine.infer(self.frames[number].image)})
                if not outcome.is_within(budget):
                    self._order.remove(number)
                    self._order.insert(0, number)
                    return False
        return True

    def latency_ratios(
        self,
        graphs: dict[str, onnx.ModelProto],
        rounds: int,
        engine: str = "onnxruntime",
        compute: Compute = "fp32",
    ) -> dict[str, float]:
        """Returns the median time of each graph over that of the first; runs are interleaved.

        Args:
            compute: precision of the operations in floating point.
        """
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            runs: dict[str, Callable[[Image], object]] = {}
            for number, (name, graph) in enumerate(graphs.items()):
                path = Path(folder) / f"{number}.onnx"
                save_graph(graph, path)
                opened = engine_class(engine, compute)(path, self._shape, threads=None)
                stack.enter_context(closing(opened))
                runs[name] = opened.infer
            medians = interleaved_medians(runs, [f.image for f in self.frames], rounds)
        first = next(iter(medians.values()))
        return {name: median / first for name, median in medians.items()}

    @contextmanager
    def _opened(self, graph: onnx.ModelProto, engine: str = "onnxruntime") -> Iterator[Engine]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            save_graph(rounded_twin(graph), path)
            with closing(engine_class(engine)(path, self._shape, threads=None)) as opened:
                yield opened
