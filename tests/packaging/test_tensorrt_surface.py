"""The recordings behind the double of TensorRT agree with NVIDIA's bindings.

The tests load the genuine bindings over empty libraries: names, parameters and enumeration values
need neither TensorRT nor a GPU.
"""

import importlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.doubles.record_surface import as_text, compile_stubs, record, surface_of
from tests.doubles.surface import FOLDER, RECORDINGS, RTX

ROOT = Path(__file__).parents[2]
WHEELS = {
    "10.3.0": "tensorrt-cu12-bindings",
    "10.7.0": "tensorrt-cu12-bindings",
    "10.13.3.9": "tensorrt-cu12-bindings",
    "10.16.1.11": "tensorrt-cu13-bindings",
    "11.4.0.106": "tensorrt-cu13-bindings",
}


# Runs on the genuine bindings over empty libraries: the factories of TensorRT return nothing.
MEET = """
import sys
from pathlib import Path
import tensorrt_bindings
sys.modules["tensorrt"] = tensorrt_bindings
from inspection.engine.tensorrt_bindings import load_bindings, process_logger
from inspection.errors import EngineError
from export.tensorrt.build import BuildOptions, _monitor, build_plan
from tests.doubles.engine_cases import Quiet

trt = load_bindings()
log = process_logger(trt)
log.log(trt.ILogger.Severity.ERROR, "told")
assert log.take() == "told"
monitor = _monitor(trt, Quiet())
monitor.phase_start("phase", None, 2)
assert monitor.step_complete("phase", 0) is True
monitor.phase_finish("phase")
try:
    build_plan(trt, Path("model.onnx"), BuildOptions(), Quiet())
except EngineError as error:
    print(error)
"""


@pytest.fixture(scope="module", params=WHEELS)
def unpacked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder of the genuine bindings, with the version as its name."""
    version: str = request.param
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc, for empty libraries under TensorRT's names")
    folder = tmp_path_factory.mktemp("bindings")
    download = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"),
            *("--quiet", "--retries=1", "--timeout=10", "--dest", str(folder)),
            f"{WHEELS[version]}=={version}",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if download.returncode != 0:
        reason = (download.stderr.strip().splitlines() or ["no reason given"])[-1]
        pytest.skip(f"pip cannot get {WHEELS[version]} {version} for this Python: {reason}")
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / version)
    return folder / version


def test_a_recording_is_what_the_bindings_have(unpacked: Path) -> None:
    recorded = json.loads((FOLDER / f"{unpacked.name}.json").read_text())
    assert record(unpacked) == recorded


def test_the_recording_of_tensorrt_for_rtx_is_what_its_bindings_have() -> None:
    """They are installed with their libraries, so that no empty ones are needed."""
    bindings = pytest.importorskip("tensorrt_rtx_bindings", reason="needs the extra tensorrt-rtx")
    if f"rtx-{bindings.__version__}" != RECORDINGS[RTX]:
        pytest.skip(f"the recording is of {RECORDINGS[RTX]}, and {bindings.__version__} is here")
    recorded = json.loads((FOLDER / f"{RECORDINGS[RTX]}.json").read_text())
    assert surface_of(importlib.import_module("tensorrt_rtx_bindings")) == recorded


def test_the_builder_meets_the_genuine_bindings(unpacked: Path, tmp_path: Path) -> None:
    compile_stubs(tmp_path)
    paths = os.pathsep.join([str(unpacked), str(ROOT)])
    result = subprocess.run(
        [sys.executable, "-c", MEET],
        env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path), "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("TensorRT finds no device: ")


def test_a_recording_holds_names_and_no_text() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.json")) == sorted(RECORDINGS.values())
    for path in FOLDER.glob("*.json"):
        text = path.read_text()
        assert as_text(json.loads(text)) == text
        kinds = {"overloaded", "property", "read-only property", "value", "abstract"}
        for entry in json.loads(text)["classes"].values():
            for kind in entry["members"].values():
                if isinstance(kind, str):
                    assert kind in kinds
                else:
                    assert all(parameter.rstrip("=").isidentifier() for parameter in kind)
