"""Runs OpenVINO on the CPU with the same ONNX files; `tests/bench/bench_engines.py` compares both.

The engine never leaves the precision to OpenVINO: by default a processor with bfloat16 or float16
units computes in these types, and thresholds would depend on the machine. BF16 is for artefacts
that `linewarden build` has proven with it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import frontend, properties
from openvino.properties import hint, intel_cpu

from inspection.engine.base import GraphShape, Prediction
from inspection.engine.cpu_record import Compute
from inspection.errors import EngineError
from inspection.files import utf8_path

# The exceptions of OpenVINO's frontends have no common base class.
_OPENVINO_ERRORS = (
    RuntimeError,
    frontend.GeneralFailure,
    frontend.InitializationFailure,
    frontend.NotImplementedFailure,
    frontend.OpConversionFailure,
    frontend.OpValidationFailure,
)
_TYPES: dict[Compute, ov.Type] = {"fp32": ov.Type.f32, "bf16": ov.Type.bf16}


class OpenVinoEngine:
    """Runs one ONNX artefact with the options of a low-latency daemon.

    All floating-point operations run in the precision `compute`, even the float16 operations of an
    artefact of lower precision; ONNX Runtime's run in float32. Integer operations of an INT8
    artefact stay.

    Args:
        artefact: the .onnx file; the caller verifies its hash.
        shape: fixed input shape the artefact must have.
        threads: threads of one inference; None lets OpenVINO take the physical cores.
        device: OpenVINO's name of the device.
        compute: "bf16" lets floating-point operations round to bfloat16.

    Raises:
        EngineError: the file does not load, the device does not compute in this precision, or its
            inputs and outputs do not fit the contract.
    """

    def __init__(
        self,
        artefact: Path,
        shape: GraphShape,
        *,
        threads: int | None = None,
        device: str = "CPU",
        compute: Compute = "fp32",
    ) -> None:
        self._artefact = artefact
        batch, height, width = shape.batch, shape.height, shape.width
        self._input = np.zeros((batch, height, width, 3), dtype=np.uint8)
        self._scores = np.zeros(batch, dtype=np.float32)
        self._maps = np.zeros((batch, height, width), dtype=np.float32)
        model = read_graph(artefact)
        self._check_contract(model)
        self._request: ov.InferRequest | None = self._compiled(
            model, device, _low_latency(threads, compute)
        )

    def infer(self, batch: npt.NDArray[np.uint8], deadline_ns: int | None = None) -> Prediction:
        """Runs the graph on uint8 (N, H, W, 3) BGR; raises like `Engine.infer`."""
        del deadline_ns  # a run on this device cannot be stopped
        if self._request is None:
            raise EngineError(f"{self._artefact}: the engine is closed")
        if batch.shape != self._input.shape or batch.dtype != np.uint8:
            raise EngineError(
                f"{self._artefact}: the input is {batch.dtype} {batch.shape} and the graph takes "
                f"uint8 {self._input.shape}"
            )
        np.copyto(self._input, batch)
        try:
            self._request.infer()
        except RuntimeError as error:
            raise EngineError(f"{self._artefact}: OpenVINO failed: {_reason(error)}") from error
        return Prediction(self._scores.copy(), self._maps.copy())

    def close(self) -> None:
        """Releases the compiled graph and its memory. Safe to call twice."""
        self._request = None

    def _buffers(self) -> dict[str, npt.NDArray[np.generic]]:
        return {"input": self._input, "pred_score": self._scores, "anomaly_map": self._maps}

    def _check_contract(self, model: ov.Model) -> None:
        expected = {
            name: f"{buffer.dtype} {list(buffer.shape)}" for name, buffer in self._buffers().items()
        }
        found = {_name(port): _describe(port) for port in (*model.inputs, *model.outputs)}
        if found != expected:
            raise EngineError(
                f"{self._artefact}: its inputs and outputs are {found}, and the bundle says "
                f"{expected}; export the bundle again"
            )

    def _compiled(
        self, model: ov.Model, device: str, options: dict[object, object]
    ) -> ov.InferRequest:
        wanted = options[hint.inference_precision]
        try:
            compiled = ov.Core().compile_model(model, device, options)
            found = compiled.get_property(hint.inference_precision)
            if found != wanted:
                raise EngineError(
                    f"{self._artefact}: OpenVINO {ov.__version__} computes it in {found} on this "
                    f"processor, not in {wanted}: linewarden build chooses what runs here"
                )
            request = compiled.create_infer_request()
            for name, buffer in self._buffers().items():
                request.set_tensor(name, ov.Tensor(buffer, shared_memory=True))
        except RuntimeError as error:
            raise EngineError(
                f"{self._artefact}: OpenVINO {ov.__version__} cannot compile it: {_reason(error)}"
            ) from error
        return request


def read_graph(artefact: Path) -> ov.Model:
    """Reads the graph of an ONNX file or of an OpenVINO .xml file.

    Raises:
        EngineError: OpenVINO does not accept the file.
    """
    try:
        # By name: otherwise each OpenVINO frontend tries the file, and logs an error.
        form = "ir" if artefact.suffix == ".xml" else "onnx"
        reader = frontend.FrontEndManager().load_by_framework(form)
        with utf8_path(artefact) as path:
            return reader.convert(reader.load(path))
    except _OPENVINO_ERRORS as error:
        raise EngineError(
            f"{artefact}: OpenVINO {ov.__version__} cannot load it: {_reason(error)}"
        ) from error


def _low_latency(threads: int | None, compute: Compute) -> dict[object, object]:
    options: dict[object, object] = {
        hint.performance_mode: hint.PerformanceMode.LATENCY,
        hint.execution_mode: hint.ExecutionMode.ACCURACY,
        hint.inference_precision: _TYPES[compute],
        # Processes that pin their threads all take the first cores and wait for each other.
        hint.enable_cpu_pinning: False,
        intel_cpu.denormals_optimization: True,
    }
    if threads is not None:
        options[properties.inference_num_threads] = threads
    return options


def _name(port: ov.Output) -> str:
    """Returns the contract's name of a port, which carries every name of its value in the graph."""
    names = sorted(port.get_names())
    known = [name for name in names if name in ("input", "pred_score", "anomaly_map")]
    return str((known or names or ["unnamed"])[0])


def _describe(port: ov.Output) -> str:
    shape = [str(size) if size.is_dynamic else size.get_length() for size in port.partial_shape]
    return f"{port.element_type.to_dtype()} {shape}"


def _reason(error: Exception) -> str:
    """Returns the message in one line, without positions in OpenVINO's source."""
    lines = str(error).splitlines()
    return " ".join(line for line in lines if line and not line.startswith("Exception from "))
