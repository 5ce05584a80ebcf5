"""Requirements on a CUDA binding: the same bodies for the simulated device and for a real one."""

from __future__ import annotations

import ctypes

import numpy as np
import numpy.typing as npt

from inspection.engine.cuda import Cuda

SIZE = 4096


def host_view(address: int, size: int = SIZE) -> npt.NDArray[np.uint8]:
    """Returns pinned memory as an array."""
    return np.frombuffer(memoryview((ctypes.c_ubyte * size).from_address(address)), np.uint8)


def copies_travel_to_the_device_and_back(cuda: Cuda) -> None:
    stream, event = cuda.create_stream(), cuda.create_event()
    source, target = cuda.allocate_host(SIZE), cuda.allocate_host(SIZE)
    device = cuda.allocate_device(SIZE)
    expected = np.random.default_rng(0).integers(0, 256, SIZE, dtype=np.uint8)
    host_view(source)[:] = expected
    host_view(target)[:] = 0
    cuda.copy_to_device(device, source, SIZE, stream)
    cuda.copy_to_host(target, device, SIZE, stream)
    cuda.wait(stream, event)
    got = host_view(target).copy()
    cuda.free_device(device)
    cuda.free_host(source)
    cuda.free_host(target)
    cuda.destroy_event(event)
    cuda.destroy_stream(stream)
    np.testing.assert_array_equal(got, expected)


def mapped_memory_has_an_address_on_the_device(cuda: Cuda) -> None:
    """`every_way_to_run_gives_the_same` shows that a device computes in it."""
    memory = cuda.allocate_host(SIZE)
    assert cuda.mapped(memory) != 0
    host_view(memory)[:] = 7
    cuda.free_host(memory)


def a_graph_replays_with_what_the_buffers_hold_then(cuda: Cuda) -> None:
    graphs = cuda.graphs
    assert graphs is not None
    stream, event = cuda.create_stream(), cuda.create_event()
    source, target = cuda.allocate_host(SIZE), cuda.allocate_host(SIZE)
    device = cuda.allocate_device(SIZE)
    host_view(target)[:] = 0
    graphs.begin_capture(stream)
    cuda.copy_to_device(device, source, SIZE, stream)
    cuda.copy_to_host(target, device, SIZE, stream)
    graph = graphs.end_capture(stream)
    assert (host_view(target) == 0).all(), "a capture runs nothing"
    got = []
    for value in (3, 5):
        host_view(source)[:] = value
        graphs.launch(graph, stream)
        cuda.wait(stream, event)
        got.append(set(host_view(target).tolist()))
    graphs.destroy_graph(graph)
    cuda.free_device(device)
    cuda.free_host(source)
    cuda.free_host(target)
    cuda.destroy_event(event)
    cuda.destroy_stream(stream)
    assert got == [{3}, {5}]


def the_device_tells_what_it_is(cuda: Cuda) -> None:
    device = cuda.device()
    assert device.name
    assert float(device.compute_capability) >= 5
    assert device.multiprocessors > 0
    assert device.driver >= 11000
    assert device.runtime >= 11000
