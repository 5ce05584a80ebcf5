"""Leaves inference to a Triton server on the plant's network, by gRPC.

One artefact of the bundle is one model of the server: `linewarden convert --to triton` writes the
model with the hash of its artefact among its parameters. This engine asks for that hash when it
opens, and again behind every part: a server that restarted between two parts with another model is
noticed, and no verdict comes from it.

Protocol: KServe's open inference protocol 2 with Triton's extension for the model's configuration.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inspection.config.plugins import Sdk, require
from inspection.engine.base import GraphShape, Prediction
from inspection.errors import EngineError
from inspection.files import sha256_of

# No type information is published for these.
grpc: Any = Sdk("grpc")
_STUBS = "tritonclient.grpc.service_pb2_grpc"
pb: Any = Sdk("tritonclient.grpc.service_pb2")
stubs: Any = Sdk(_STUBS)

INSTALL = "pip install 'linewarden[triton]'"
HASH_PARAMETER = "artefact_sha256"
_MESSAGE_MAX_BYTES = 2**31 - 1  # a frame and its map are larger than the 4 MiB of gRPC
_OPTIONS = (
    ("grpc.max_send_message_length", _MESSAGE_MAX_BYTES),
    ("grpc.max_receive_message_length", _MESSAGE_MAX_BYTES),
    ("grpc.enable_retries", 0),  # a part's frame is sent once
    ("grpc.enable_http_proxy", 0),  # a proxy of the environment is not for the plant's network
    ("grpc.use_local_subchannel_pool", 1),  # each engine has a connection of its own
)
_HINTS = {
    "UNAVAILABLE": (
        "check that the server runs, that the port is the one for gRPC (8001; 8000 is HTTP), and "
        "that both use TLS or neither, with a certificate of this host"
    ),
    "UNIMPLEMENTED": "check that a Triton server answers there",
    "UNAUTHENTICATED": "check the token",
    "PERMISSION_DENIED": "check the token",
    "NOT_FOUND": "check the names in the model repository, and the server's log",
}


@dataclass(frozen=True, kw_only=True)
class TritonServer:
    """The address of a model on a server.

    Attributes:
        address: host:port of gRPC.
        version: the model's version, which is a folder of the model repository.
        is_encrypted: use TLS; the certificates are PEM, None for those of the system.
        token: bearer token for a proxy in front of the server, which itself asks for none.
        timeout_ms: limit of a call without a part, and of a part without a deadline.
    """

    address: str
    model: str
    version: int = 1
    is_encrypted: bool = False
    authorities: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None
    token: str | None = None
    timeout_ms: float = 5000.0


def model_name(text: str) -> str:
    """Makes a name that can be a folder of a model repository and a part of a URL."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-.")


def onnx_model_name(bundle: str) -> str:
    """Returns the name under which `linewarden convert` serves the ONNX file of a bundle."""
    return f"{model_name(bundle)}_onnx"


class TritonEngine:
    """Runs one artefact on a server.

    It never reconnects for a part by itself, and sends the frame of a part once.

    Args:
        artefact: the file of the bundle that the server must serve; the caller verifies its hash.
        shape: fixed input shape the model must have.
        threads: without effect: the server decides.

    Raises:
        EngineError: the server is not reachable, or serves another model.
    """

    def __init__(
        self,
        artefact: Path,
        shape: GraphShape,
        *,
        threads: int | None = None,
        server: TritonServer | None = None,
    ) -> None:
        if server is None:
            raise EngineError(
                "engine 'triton' needs the address of a server: engine.server of a line, or "
                "--server FILE"
            )
        del threads  # the server decides
        require("engine 'triton'", _STUBS, INSTALL, EngineError)
        self._server = server
        self._name = f"{server.address}, model {server.model!r} version {server.version}"
        try:
            self._sha256 = sha256_of(artefact)
        except OSError as error:
            raise EngineError(f"{artefact}: cannot be read ({error.strerror})") from error
        self._artefact = artefact.name
        self._shape = (shape.batch, shape.height, shape.width, 3)
        self._metadata = (
            [("authorization", f"Bearer {server.token}")] if server.token is not None else []
        )
        self._channel: Any = _channel(server)  # None when closed
        self._stub = stubs.GRPCInferenceServiceStub(self._channel)
        try:
            self._verify()
        except BaseException:
            self.close()
            raise

    def infer(self, batch: npt.NDArray[np.uint8], deadline_ns: int | None = None) -> Prediction:
        """Runs the graph on uint8 (N, H, W, 3) BGR; raises like `Engine.infer`."""
        if self._channel is None:
            raise EngineError(f"{self._name}: the engine is closed")
        if batch.shape != self._shape or batch.dtype != np.uint8:
            raise EngineError(
                f"{self._name}: the input is {batch.dtype} {batch.shape} and the graph takes uint8 "
                f"{self._shape}"
            )
        prediction = self._prediction(self._ask("ModelInfer", self._request(batch), deadline_ns))
        # Behind the part: a server that was restarted, or loaded another model, before it judged
        # the part says so now.
        self._require_hash(
            self._ask("ModelConfig", self._named(pb.ModelConfigRequest), deadline_ns)
        )
        return prediction

    def close(self) -> None:
        """Closes the connection. Safe to call twice."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def _verify(self) -> None:
        if not self._ask("ModelReady", self._named(pb.ModelReadyRequest)).ready:
            raise EngineError(
                f"{self._name}: the server has not loaded it: look into its log; copy the folder "
                "that 'linewarden convert --to triton' wrote as a whole"
            )
        self._require_hash(self._ask("ModelConfig", self._named(pb.ModelConfigRequest)))
        self._require_contract(self._ask("ModelMetadata", self._named(pb.ModelMetadataRequest)))

    def _require_hash(self, answer: Any) -> None:
        served = answer.config.parameters[HASH_PARAMETER].string_value
        if not served:
            raise EngineError(
                f"{self._name}: does not say which artefact it is: serve the folder that "
                "'linewarden convert --to triton' writes"
            )
        if served != self._sha256:
            raise EngineError(
                f"{self._name}: is another artefact (SHA-256 {served[:12]}, and {self._artefact} "
                f"of the bundle is {self._sha256[:12]}): serve the model of this bundle, or use "
                "the bundle of that model"
            )

    def _require_contract(self, metadata: Any) -> None:
        batch, height, width, _ = self._shape
        expected = {
            "input": ("UINT8", list(self._shape)),
            "pred_score": ("FP32", [batch]),
            "anomaly_map": ("FP32", [batch, height, width]),
        }
        found = {
            tensor.name: (tensor.datatype, list(tensor.shape))
            for tensor in (*metadata.inputs, *metadata.outputs)
        }
        if found != expected:
            raise EngineError(
                f"{self._name}: its inputs and outputs are {found}, and the bundle says {expected}"
            )

    def _named(self, kind: Any) -> Any:
        return kind(name=self._server.model, version=str(self._server.version))

    def _request(self, batch: npt.NDArray[np.uint8]) -> Any:
        request = pb.ModelInferRequest(
            model_name=self._server.model, model_version=str(self._server.version)
        )
        request.inputs.add(name="input", datatype="UINT8", shape=self._shape)
        request.outputs.add(name="pred_score")
        request.outputs.add(name="anomaly_map")
        request.raw_input_contents.append(batch.tobytes())
        return request

    def _prediction(self, answer: Any) -> Prediction:
        batch, height, width, _ = self._shape
        found = {
            output.name: np.frombuffer(content, np.float32)
            for output, content in zip(answer.outputs, answer.raw_output_contents, strict=True)
        }
        sizes = {name: values.size for name, values in found.items()}
        if sizes != {"pred_score": batch, "anomaly_map": batch * height * width}:
            raise EngineError(f"{self._name}: the answer has other outputs: {sizes}")
        maps = found["anomaly_map"].reshape(batch, height, width)
        return Prediction(found["pred_score"].copy(), maps.copy())

    def _ask(self, call: str, request: Any, deadline_ns: int | None = None) -> Any:
        timeout_s = self._server.timeout_ms / 1e3
        if deadline_ns is not None:
            timeout_s = (deadline_ns - time.monotonic_ns()) / 1e9
        if timeout_s <= 0:
            raise EngineError(f"{self._name}: not asked: the deadline of the part has passed")
        try:
            return getattr(self._stub, call)(request, timeout=timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            code = error.code().name
            if code == "DEADLINE_EXCEEDED":
                why = f"no answer within {timeout_s * 1e3:.0f} ms"
            else:
                why = f"{error.details()} ({code})"
            hint = _HINTS.get(code)
            raise EngineError(f"{self._name}: {why}" + (f"; {hint}" if hint else "")) from error


def _channel(server: TritonServer) -> Any:
    if not server.is_encrypted:
        return grpc.insecure_channel(server.address, options=_OPTIONS)
    credentials = grpc.ssl_channel_credentials(server.authorities, server.key, server.certificate)
    return grpc.secure_channel(server.address, credentials, options=_OPTIONS)
