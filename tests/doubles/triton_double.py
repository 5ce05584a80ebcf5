"""Speaks Triton's gRPC protocol on loopback and runs an ONNX file: a server without its 55 MB."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnxruntime as ort
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as stubs

from inspection.files import sha256_of

_TYPES = {"tensor(uint8)": "UINT8", "tensor(float)": "FP32"}


class TritonDouble(stubs.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Serves one artefact as version 1 of a model.

    Attributes:
        sha256: what the configuration says; a test may set another.
        asked: number of parts that it judged.
    """

    def __init__(self, artefact: Path, model: str) -> None:
        self._model = model
        self.sha256 = sha256_of(artefact)
        self.asked = 0
        self._session = ort.InferenceSession(
            artefact.read_bytes(), providers=["CPUExecutionProvider"]
        )
        self._server = grpc.server(ThreadPoolExecutor(2))
        stubs.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def close(self) -> None:
        self._server.stop(None).wait()

    def ModelReady(self, request: Any, context: Any) -> Any:
        return pb.ModelReadyResponse(ready=(request.name, request.version) == (self._model, "1"))

    def ModelConfig(self, request: Any, context: Any) -> Any:
        answer = pb.ModelConfigResponse()
        answer.config.parameters["artefact_sha256"].string_value = self.sha256
        return answer

    def ModelMetadata(self, request: Any, context: Any) -> Any:
        answer = pb.ModelMetadataResponse(name=self._model)
        for found, values in (
            (answer.inputs, self._session.get_inputs()),
            (answer.outputs, self._session.get_outputs()),
        ):
            for value in values:
                found.add(name=value.name, datatype=_TYPES[value.type], shape=value.shape)
        return answer

    def ModelInfer(self, request: Any, context: Any) -> Any:
        self.asked += 1
        (given,) = request.inputs
        image = np.frombuffer(request.raw_input_contents[0], np.uint8).reshape(given.shape)
        answer = pb.ModelInferResponse(model_name=self._model, model_version="1")
        names = [output.name for output in request.outputs]
        for name, value in zip(names, self._session.run(names, {given.name: image}), strict=True):
            answer.outputs.add(name=name, datatype="FP32", shape=value.shape)
            answer.raw_output_contents.append(value.tobytes())
        return answer
