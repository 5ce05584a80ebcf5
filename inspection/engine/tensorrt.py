"""TensorRT on an NVIDIA device: runs a plan that `linewarden build` made here; never builds one."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inspection.engine.base import GraphShape, Prediction
from inspection.engine.cuda import open_cuda
from inspection.engine.sidecar import read_sidecar, verify
from inspection.engine.tensorrt_bindings import load_bindings, platform_here
from inspection.engine.tensorrt_plan import RunningPlan, check_contract
from inspection.errors import EngineError


class TensorRtEngine:
    """One plan with its sidecar, `engines/<device>/<precision>/model.plan` of a bundle.

    Nothing is deserialised before the plan's bytes, its sidecar and this machine agree.

    Args:
        artefact: the plan.
        shape: fixed input shape the plan must have.
        threads: of no effect: the work is the device's.

    Raises:
        BundleError: plan or sidecar are damaged or do not belong together.
        EngineError: built for another machine, refused by TensorRT, or something is not installed.
        DeviceLostError: the device failed; the process must end.
    """

    def __init__(self, artefact: Path, shape: GraphShape, *, threads: int | None = None) -> None:
        del threads
        sidecar = read_sidecar(artefact)
        try:
            plan = artefact.read_bytes()
        except OSError as error:
            raise EngineError(f"{artefact}: cannot be read ({error.strerror})") from error
        check_contract(artefact, sidecar.io, shape)
        trt = load_bindings()
        with ExitStack() as resources:
            cuda = open_cuda()
            resources.callback(cuda.release)
            verify(artefact, plan, sidecar, platform_here(trt, cuda.device()))
            self._plan = RunningPlan(
                trt, cuda, plan, shape, memory=sidecar.memory, graph=sidecar.launch == "graph"
            )
            resources.callback(self._plan.close)
            self._resources = resources.pop_all()

    @property
    def launch(self) -> str:
        """How the work is handed to the device: "graph" or "plain"."""
        return self._plan.launch

    def infer(self, batch: npt.NDArray[np.uint8]) -> Prediction:
        """Run uint8 (N, H, W, 3) BGR; see `Engine.infer`. The prediction is the caller's."""
        return self._plan.infer(batch)

    def close(self) -> None:
        """Release the device. Safe to call twice; the last error of a release is raised."""
        self._resources.close()
