"""What the contract of the engines leaves to ONNX Runtime."""

from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np

from inspection.engine import GraphShape
from inspection.engine.onnxruntime import OnnxRuntimeEngine, _low_latency
from tests import tiny_bundle
from tests.tiny_bundle import SIZE


def test_no_memory_is_taken_twice() -> None:
    options = _low_latency(threads=2)
    assert options.enable_cpu_mem_arena  # without it each run asks the system for its memory
    assert not options.enable_mem_pattern
    assert options.get_session_config_entry("session.use_env_allocators") == "1"


def test_results_stay_when_engines_with_one_arena_run_in_turn_and_close(tmp_path: Path) -> None:
    graph = tiny_bundle.build(tmp_path / "bundle").file("model.onnx")
    images = [np.full((1, SIZE, SIZE, 3), value, np.uint8) for value in (20, 200)]
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(closing(OnnxRuntimeEngine(graph, GraphShape(SIZE, SIZE))))
            for _ in range(2)
        )
        dark, bright = first.infer(images[0]), second.infer(images[1])
        kept = dark.maps.copy(), bright.maps.copy()
        second.close()
        again = first.infer(images[0])
    np.testing.assert_array_equal(dark.maps, kept[0])
    np.testing.assert_array_equal(bright.maps, kept[1])
    np.testing.assert_array_equal(again.maps, kept[0])
    assert not np.array_equal(kept[0], kept[1])
