"""Runs a TensorRT plan that `linewarden build` made on this device; never builds one."""

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
    """Opens a plan with its sidecar, `engines/<device>/<precision>/model.plan` of a bundle.

    The engine deserialises the plan only after its bytes, its sidecar and this machine agree.

    Args:
        artefact: path of the plan.
        shape: fixed input shape the plan must have.
        threads: has no effect, because the device does the work.

    Raises:
        BundleError: plan or sidecar is damaged, or they do not belong together.
        EngineError: the plan was built for another machine, TensorRT refuses it, or a package is
            missing.
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
        """Returns the way of launching work on the device: "graph" or "plain"."""
        return self._plan.launch

    def infer(self, batch: npt.NDArray[np.uint8]) -> Prediction:
        """Runs the plan on uint8 (N, H, W, 3) BGR; the caller owns the prediction."""
        return self._plan.infer(batch)

    def close(self) -> None:
        """Releases the device; raises the last error of a release. Safe to call twice."""
        self._resources.close()
