"""NVIDIA's real Triton server on loopback, from the wheel `nvidia-pytriton`.

`make triton-server` unpacks the wheel: installing it would pull an old NumPy. It holds the server
and its Python backend, and no others.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as stubs

from tests.doubles.line_peers import free_port
from tests.doubles.waiting import wait_for

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("LINEWARDEN_TRITON", ROOT / "build/triton"))
SERVER = FOLDER / "pytriton/tritonserver"
STUB = SERVER / f"python_backend_stubs/{sysconfig.get_python_version()}/triton_python_backend_stub"
LOADING_S = 60.0


def require_server() -> None:
    """Skips where the server, or its part for this Python, is not unpacked."""
    if not STUB.exists():
        pytest.skip(f"needs Triton's server: make triton-server (no {STUB})")
    if not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        pytest.skip("Triton's Python backend needs a Python with a shared library")


class TritonServer:
    """A process; ports stay the same over a restart.

    Args:
        folder: for its log and its backends.
        options: more options of the command line.
    """

    def __init__(self, folder: Path, repository: Path, *options: str) -> None:
        self.grpc_port, self.http_port = free_port(), free_port()
        self.repository = repository
        self._log = folder / "triton.log"
        self._backends = folder / "backends"
        shutil.copytree(SERVER / "backends", self._backends)
        shutil.copy(STUB, self._backends / "python")
        (self._backends / "python" / STUB.name).chmod(0o755)
        binary = SERVER / "bin/tritonserver"
        binary.chmod(0o755)
        self._command = [
            str(binary),
            f"--model-repository={repository}",
            f"--backend-directory={self._backends}",
            "--http-address=127.0.0.1",
            f"--http-port={self.http_port}",
            "--grpc-address=127.0.0.1",
            f"--grpc-port={self.grpc_port}",
            "--allow-metrics=false",
            "--exit-on-error=false",
            "--strict-readiness=false",
            "--disable-auto-complete-config",
            *options,
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self._spent_s = 0.0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def start(self) -> None:
        """Starts, and waits until every model is loaded or refused."""
        libraries = [str(FOLDER / "nvidia_pytriton.libs"), sysconfig.get_config_var("LIBDIR")]
        environment = {
            **os.environ,
            "LD_LIBRARY_PATH": os.pathsep.join(libraries),
            "PYTHONPATH": sysconfig.get_path("purelib"),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        wait_for(lambda: "Started GRPCInferenceService" in self.log, LOADING_S)

    def pause(self) -> None:
        """Lets the server accept connections and answer nothing."""
        process = self._running()
        process.send_signal(signal.SIGSTOP)
        state = Path(f"/proc/{process.pid}/stat")
        wait_for(lambda: state.read_text().rpartition(")")[2].split()[0] == "T")

    def go_on(self) -> None:
        self._running().send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Ends the server and the processes of its models at once. Safe to call twice."""
        if self._process is not None:
            self._spent_s = self.cpu_s()
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def inferences(self, model: str) -> int:
        """Returns the number of requests that the server ran for a model, warm-ups counted."""
        with grpc.insecure_channel(self.address) as channel:
            stub = stubs.GRPCInferenceServiceStub(channel)
            found = stub.ModelStatistics(pb.ModelStatisticsRequest(name=model), timeout=10)
        return int(found.model_stats[0].inference_count)

    def load(self, model: str) -> None:
        """Loads a model again from its folder; the server was started with explicit control."""
        with grpc.insecure_channel(self.address) as channel:
            stub = stubs.GRPCInferenceServiceStub(channel)
            stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name=model), timeout=60)

    def cpu_s(self) -> float:
        """Returns the processor time of the server and of its models, over all restarts."""
        spent_s, ticks = self._spent_s, 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:  # it has ended
                continue
            if self._process is not None and int(fields[2]) == self._process.pid:
                ticks += int(fields[11]) + int(fields[12])
        return spent_s + ticks / os.sysconf("SC_CLK_TCK")

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process
