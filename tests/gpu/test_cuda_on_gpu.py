"""The CUDA layer on a real device: the bodies that the simulated device passes."""

from collections.abc import Callable

import pytest

from inspection.engine.cuda import Cuda
from inspection.errors import CudaError
from tests.doubles import cuda_cases

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize(
    "case",
    [
        cuda_cases.copies_travel_to_the_device_and_back,
        cuda_cases.mapped_memory_has_an_address_on_the_device,
        cuda_cases.the_device_tells_what_it_is,
    ],
)
def test_the_binding_does_what_the_double_does(case: Callable[[Cuda], None], cuda: Cuda) -> None:
    case(cuda)


def test_a_graph_replays(cuda: Cuda) -> None:
    if cuda.graphs is None:
        pytest.skip("pycuda has no graphs")
    cuda_cases.a_graph_replays_with_what_the_buffers_hold_then(cuda)


def test_more_memory_than_there_is_is_an_error_and_no_end(cuda: Cuda) -> None:
    with pytest.raises(CudaError):
        cuda.allocate_device(1 << 50)
    cuda.free_device(cuda.allocate_device(1 << 10))


def test_a_failed_capture_leaves_the_stream_usable(cuda: Cuda) -> None:
    if cuda.graphs is None:
        pytest.skip("pycuda has no graphs")
    stream, event = cuda.create_stream(), cuda.create_event()
    cuda.graphs.begin_capture(stream)
    with pytest.raises(CudaError):
        cuda.wait(stream, event)  # not allowed while recording
    with pytest.raises(CudaError):
        cuda.graphs.end_capture(stream)
    cuda.wait(stream, event)
    cuda.destroy_event(event)
    cuda.destroy_stream(stream)
