"""Tests the CUDA layer over both bindings: the checks of a real GPU, then errors."""

import inspect
import sys
from collections.abc import Callable

import pytest

from inspection.engine.cuda import STICKY, Cuda, _CudaPython, open_cuda
from inspection.errors import CudaError, DeviceLostError, EngineError
from tests.doubles import cuda_cases
from tests.doubles.cuda import STICKY as DEVICE_STICKY
from tests.doubles.cuda import SimulatedDevice
from tests.doubles.cuda_python import cuda_python
from tests.doubles.installed import install
from tests.doubles.pycuda import pycuda_driver

Case = Callable[[Cuda], None]


@pytest.mark.parametrize("binding", ["cuda-python", "pycuda"])
@pytest.mark.parametrize(
    "case",
    [
        cuda_cases.copies_travel_to_the_device_and_back,
        cuda_cases.mapped_memory_has_an_address_on_the_device,
        cuda_cases.the_device_tells_what_it_is,
    ],
)
def test_both_bindings_do_the_same(
    case: Case, binding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = install(monkeypatch, binding=binding)
    cuda = open_cuda()
    case(cuda)
    cuda.release()
    installed.assert_clean()


def test_a_graph_replays(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = install(monkeypatch)
    cuda_cases.a_graph_replays_with_what_the_buffers_hold_then(open_cuda())
    installed.assert_clean()


def test_pycuda_has_no_graphs_and_leaves_its_context_stack_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = install(monkeypatch, binding="pycuda").device
    cuda = open_cuda()
    assert cuda.graphs is None
    cuda.release()
    assert [call for call in device.calls if call in {"push", "pop"}] == ["push", "pop"]


def test_cuda_python_is_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    device = SimulatedDevice()
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", cuda_python(device))
    monkeypatch.setitem(sys.modules, "pycuda.driver", pycuda_driver(device))
    assert isinstance(open_cuda(), _CudaPython)


def test_no_binding_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    with pytest.raises(EngineError, match=r"needs the package cuda-python .*neither is installed"):
        open_cuda()


def test_a_driver_older_than_the_binding_is_told_with_the_binding_that_fits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch).device.inject("cudaSetDevice", 35)
    with pytest.raises(CudaError, match=r"older than the CUDA of this .*'cuda-python==12\.\*'"):
        open_cuda()


@pytest.mark.parametrize("code", sorted(STICKY))
def test_a_sticky_error_ends_the_process_and_not_only_the_part(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = install(monkeypatch).device
    cuda = open_cuda()
    device.inject("cudaMalloc", code)
    with pytest.raises(DeviceLostError, match="the GPU is lost to this process; start it again"):
        cuda.allocate_device(16)
    with pytest.raises(DeviceLostError):  # every later call fails too
        cuda.create_stream()
    assert not issubclass(DeviceLostError, EngineError)
    assert DeviceLostError.exit_code == 8


def test_the_double_and_the_product_agree_on_what_is_sticky() -> None:
    assert set(STICKY) == DEVICE_STICKY


@pytest.mark.parametrize("binding", ["cuda-python", "pycuda"])
def test_out_of_memory_is_not_sticky(binding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    device = install(monkeypatch, binding=binding).device
    cuda = open_cuda()
    device.inject("cudaMalloc" if binding == "cuda-python" else "cuMemAlloc", 2)
    with pytest.raises(CudaError, match=r"MemoryAllocation|out of memory"):
        cuda.allocate_device(16)
    cuda.free_device(cuda.allocate_device(16))


@pytest.mark.parametrize("code", [700, 719])
def test_pycuda_tells_sticky_errors_by_their_text(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = install(monkeypatch, binding="pycuda").device
    cuda = open_cuda()
    stream, event = cuda.create_stream(), cuda.create_event()
    device.inject("cuEventSynchronize", code)
    with pytest.raises(DeviceLostError, match="the GPU is lost to this process"):
        cuda.wait(stream, event)


def test_a_graph_that_cannot_be_instantiated_leaves_no_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = install(monkeypatch).device
    cuda = open_cuda()
    assert cuda.graphs is not None
    stream = cuda.create_stream()
    cuda.graphs.begin_capture(stream)
    device.inject("cudaGraphInstantiateWithFlags", 2)
    with pytest.raises(CudaError):
        cuda.graphs.end_capture(stream)
    assert device.alive() == {"streams": 1}


def test_memory_written_beyond_its_end_is_a_fault_of_the_double() -> None:
    device = SimulatedDevice()
    address = device.allocate("device", 16)
    cuda_cases.host_view(address, 17)[16] = 0
    device.free("device", address)
    assert device.faults == ["device memory was written beyond its end"]


def test_the_genuine_cuda_python_takes_our_arguments() -> None:
    """Without a driver each call returns error 35, and no call raises a TypeError."""
    runtime = pytest.importorskip("cuda.bindings.runtime", reason="needs cuda-python")
    if int(runtime.cudaGetDeviceCount()[0]) == 0:
        pytest.skip("there is a GPU here: tests/gpu uses it")
    cuda = object.__new__(_CudaPython)
    cuda._runtime = runtime
    names = [
        name
        for name, value in inspect.getmembers(_CudaPython, inspect.isfunction)
        if not name.startswith("_") and name != "release"
    ]
    assert len(names) == 17
    for name in names:
        method = getattr(cuda, name)
        # Size, address and stream are all numbers, and 1 MiB is not a valid address.
        arguments = [1 << 20] * len(inspect.signature(method).parameters)
        with pytest.raises(CudaError, match=r"failed with cudaError\w+ \(\d+\)"):
            method(*arguments)
