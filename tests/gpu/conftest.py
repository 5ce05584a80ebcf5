"""The device and TensorRT for the tests on a GPU; a skip says which one is missing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from inspection.engine.cuda import Cuda, open_cuda
from inspection.engine.tensorrt_bindings import load_bindings
from inspection.errors import EngineError


@pytest.fixture
def cuda() -> Iterator[Cuda]:
    """Yields the installed binding, on the device of this machine."""
    try:
        opened = open_cuda()
    except EngineError as error:
        pytest.skip(str(error))
    yield opened
    opened.release()


@pytest.fixture
def tensorrt(cuda: Cuda) -> None:
    """Skips the test without TensorRT."""
    try:
        load_bindings()
    except EngineError as error:
        pytest.skip(str(error))
