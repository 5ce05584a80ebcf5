"""What the tests on a real device need; they skip with the reason where it is not there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from inspection.engine.cuda import Cuda, open_cuda
from inspection.engine.tensorrt_bindings import load_bindings
from inspection.errors import EngineError


@pytest.fixture
def cuda() -> Iterator[Cuda]:
    """The binding that is installed, on the device that is there."""
    try:
        opened = open_cuda()
    except EngineError as error:
        pytest.skip(str(error))
    yield opened
    opened.release()


@pytest.fixture
def tensorrt(cuda: Cuda) -> None:
    """TensorRT on that device."""
    try:
        load_bindings()
    except EngineError as error:
        pytest.skip(str(error))
