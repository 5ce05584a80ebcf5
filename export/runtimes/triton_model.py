"""Runs an ONNX file in Triton's Python backend. `linewarden convert` copies it into a repository.

The server's Python needs numpy and onnxruntime, and not Linewarden. A file that was copied in part
is refused when the server loads the model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as triton

_OUTPUTS = ("pred_score", "anomaly_map")


class TritonPythonModel:
    """One instance of the model; Triton calls each instance from one thread."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the graph; an exception keeps the model from becoming ready."""
        config = json.loads(args["model_config"])
        expected = config["parameters"]["artefact_sha256"]["string_value"]
        path = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        content = path.read_bytes()
        actual = hashlib.sha256(content).hexdigest()
        if actual != expected:
            raise triton.TritonModelException(
                f"{path}: is not the artefact of config.pbtxt (SHA-256 {actual[:12]}, it says "
                f"{expected[:12]}): copy the whole folder again"
            )
        options = ort.SessionOptions()
        options.intra_op_num_threads = int(config["parameters"]["threads"]["string_value"])
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        self._session = ort.InferenceSession(
            content,
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=["WeightBiasQuantization"],  # as the engine of a line does
        )

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answers each request; the graph has a fixed batch."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        # By DLPack in both directions: a server that was built for NumPy 1 neither reads nor makes
        # arrays of NumPy 2 as they are, and says nothing.
        image = np.from_dlpack(triton.get_input_tensor_by_name(request, "input"))
        values = self._session.run(list(_OUTPUTS), {"input": image})
        made = zip(_OUTPUTS, values, strict=True)
        return triton.InferenceResponse(
            [triton.Tensor.from_dlpack(name, value) for name, value in made]
        )
