"""Installs the doubles of TensorRT and CUDA as packages, for one test."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import pytest

from tests.doubles.cuda import SimulatedDevice
from tests.doubles.cuda_python import cuda_python
from tests.doubles.pycuda import pycuda_driver
from tests.doubles.surface import RTX
from tests.doubles.tensorrt import World, tensorrt


@dataclass(frozen=True)
class Installed:
    """The doubles that a test controls."""

    tensorrt: Any
    device: SimulatedDevice
    world: World

    def assert_clean(self) -> None:
        """Asserts that nothing is left on the device, and that it saw no fault."""
        assert self.device.alive() == {}
        assert self.device.faults == []


def rtx_card(**changes: Any) -> SimulatedDevice:
    """Returns a card that TensorRT for RTX supports."""
    ada: dict[str, Any] = {
        "name": "Simulated RTX 4000 Ada",
        "compute_capability": (8, 9),
        "multiprocessors": 48,
        "driver": 13000,
        "runtime": 13000,
    }
    return SimulatedDevice(**{**ada, **changes})


def install(
    patch: pytest.MonkeyPatch,
    version: str = "10.3",
    *,
    device: SimulatedDevice | None = None,
    binding: str = "cuda-python",
) -> Installed:
    """Installs TensorRT of this version, or for RTX, on this device and binding of CUDA."""
    device = device or (rtx_card() if version == RTX else SimulatedDevice())
    patch.setattr("export.timing.WARM_UP", 1)
    patch.setattr("export.timing.RUNS", 3)
    patch.setattr("export.tensorrt.examine.RUNS", 3)
    module: Any = tensorrt(version, device)
    patch.setitem(sys.modules, "tensorrt_rtx_bindings" if version == RTX else "tensorrt", module)
    if binding == "cuda-python":
        patch.setitem(sys.modules, "cuda.bindings.runtime", cuda_python(device))
    else:
        patch.setitem(sys.modules, "cuda.bindings.runtime", None)
        patch.setitem(sys.modules, "pycuda.driver", pycuda_driver(device))
    return Installed(module, device, module.world)
