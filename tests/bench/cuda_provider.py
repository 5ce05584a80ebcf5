"""Runs ONNX Runtime with a chosen provider, to compare with a GPU without TensorRT."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from inspection.engine import Prediction
from inspection.errors import EngineError

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
# With TF32 the provider rounds FP32 convolutions to 10 bits of mantissa.
_OPTIONS = {CPU: {}, CUDA: {"use_tf32": "0"}}


class ProviderEngine:
    """Runs an artefact on one provider.

    Raises:
        EngineError: ONNX Runtime lacks the provider here, or took another one.
    """

    def __init__(self, artefact: Path, provider: str) -> None:
        if provider not in ort.get_available_providers():
            raise EngineError(
                f"ONNX Runtime {ort.__version__} has no {provider} here: pip install "
                "onnxruntime-gpu instead of onnxruntime"
            )
        options = ort.SessionOptions()
        options.log_severity_level = 3
        if provider == CUDA and hasattr(ort, "preload_dlls"):
            ort.preload_dlls()
        chosen = [(provider, _OPTIONS[provider])]
        self._session = ort.InferenceSession(str(artefact), options, providers=chosen)
        # It falls back to the CPU without a message.
        if self._session.get_providers()[0] != provider:
            raise EngineError(f"{artefact}: ONNX Runtime cannot use its {provider} here")

    def infer(self, batch: npt.NDArray[np.uint8], deadline_ns: int | None = None) -> Prediction:
        """Implements `Engine.infer`."""
        scores, maps = self._session.run(["pred_score", "anomaly_map"], {"input": batch})
        return Prediction(scores, maps)

    def close(self) -> None:
        """Implements `Engine.close`."""
