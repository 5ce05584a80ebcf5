"""Runs ONNX Runtime on the CPU: the default engine, on every laptop and board."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from inspection.engine.base import GraphShape, Prediction
from inspection.errors import EngineError
from inspection.files import utf8_path

_PROVIDER = "CPUExecutionProvider"
# It rounds the biases of a graph that has none in INT32, which is one for TensorRT, by the product
# of two scales. In FP16 that product is often too small to be a number, and the scores are wrong.
BIAS_ROUNDING = "WeightBiasQuantization"
# ONNX Runtime's exceptions have no common base class.
_ORT_ERRORS = (
    ort_errors.EPFail,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)


def _register_arena() -> None:
    """Gives this process one arena for the tensors of all runs; once, when this file is imported.

    Engines of several views, and those before and after a changeover, run one after the other and
    use the same blocks: each would keep 70 MB for ResNet-18 otherwise.
    """
    kind = ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    memory = ort.OrtMemoryInfo("Cpu", kind, 0, ort.OrtMemType.DEFAULT)
    no_limit, as_requested, default = 0, 1, -1
    ort.create_and_register_allocator(
        memory, ort.OrtArenaCfg(no_limit, as_requested, default, default)
    )


_register_arena()


class OnnxRuntimeEngine:
    """Runs one ONNX artefact with the options of a low-latency daemon.

    Args:
        artefact: the .onnx file; the caller verifies its hash.
        shape: fixed input shape the artefact must have.
        threads: intra-op threads; None lets ONNX Runtime take the physical cores.

    Raises:
        EngineError: the file does not load, or its inputs and outputs do not fit the contract.
    """

    def __init__(self, artefact: Path, shape: GraphShape, *, threads: int | None = None) -> None:
        try:
            with utf8_path(artefact) as path:
                self._session: ort.InferenceSession | None = ort.InferenceSession(
                    path,
                    sess_options=_low_latency(threads),
                    providers=[_PROVIDER],
                    disabled_optimizers=[BIAS_ROUNDING],
                )
        except _ORT_ERRORS as error:
            raise EngineError(
                f"{artefact}: ONNX Runtime {ort.__version__} cannot load it: {error}"
            ) from error
        self._artefact = artefact
        self._shape = (shape.batch, shape.height, shape.width, 3)
        _check_contract(self._session, self._shape, artefact)

    def infer(self, batch: npt.NDArray[np.uint8], deadline_ns: int | None = None) -> Prediction:
        """Runs the graph on uint8 (N, H, W, 3) BGR; raises like `Engine.infer`."""
        del deadline_ns  # a run on this device cannot be stopped
        if self._session is None:
            raise EngineError(f"{self._artefact}: the engine is closed")
        if batch.shape != self._shape or batch.dtype != np.uint8:
            raise EngineError(
                f"{self._artefact}: the input is {batch.dtype} {batch.shape} and the graph takes "
                f"uint8 {self._shape}"
            )
        try:
            scores, maps = self._session.run(["pred_score", "anomaly_map"], {"input": batch})
        except _ORT_ERRORS as error:
            raise EngineError(f"{self._artefact}: ONNX Runtime failed: {error}") from error
        return Prediction(scores, maps)

    def close(self) -> None:
        """Releases the session and its memory. Safe to call twice."""
        self._session = None


def _low_latency(threads: int | None) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.use_env_allocators", "1")
    # Weights live as long as their engine, and the arena as long as the process.
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    # All shapes are fixed, so the arena holds the right blocks after the first run. A memory
    # pattern would take one block as large as all of them beside it, and make no run faster.
    options.enable_mem_pattern = False
    # Spinning threads would burn a core between parts and slow everything else on the device.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    return options


def _check_contract(
    session: ort.InferenceSession, shape: tuple[int, int, int, int], artefact: Path
) -> None:
    batch, height, width, _ = shape
    expected = {
        "input": ("tensor(uint8)", list(shape)),
        "pred_score": ("tensor(float)", [batch]),
        "anomaly_map": ("tensor(float)", [batch, height, width]),
    }
    found = {
        value.name: (value.type, value.shape)
        for value in (*session.get_inputs(), *session.get_outputs())
    }
    if found != expected:
        raise EngineError(
            f"{artefact}: its inputs and outputs are {found}, and the bundle says {expected}; "
            "export the bundle again"
        )
