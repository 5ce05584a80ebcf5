"""What the contract of the engines leaves to ONNX Runtime."""

from inspection.engine.onnxruntime import _low_latency


def test_no_memory_is_taken_twice() -> None:
    options = _low_latency(threads=2)
    assert options.enable_cpu_mem_arena  # without it each run asks the system for its memory
    assert not options.enable_mem_pattern
