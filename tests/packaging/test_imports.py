"""The code for devices starts without the training frameworks."""

import json
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from linewarden.command_line import COMMANDS

ROOT = Path(__file__).parents[2]
ON_DEVICE = (
    "bench",
    "build",
    "bundle",
    "camera",
    "doctor",
    "example",
    "inspect",
    "records",
    "run",
    "service",
    "verify",
)
DEVICE_MODULES = sorted(
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
    for room in ("inspection", "edge")
    for path in (ROOT / room).rglob("*.py")
)

BLOCK = """
import sys
class Absent:
    names = {names!r}
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""
TRAINING = {
    "torch",
    "torchvision",
    "timm",
    "onnx",
    "onnxscript",
    "safetensors",
    "scipy",
    "jinja2",
    "matplotlib",
    "tqdm",
}

PANEL = "edge.panel"
WEB = {"argon2", "jinja2", "multipart", "starlette", "uvicorn"}


# All that these commands may import before they know the engine, the cameras and the outputs: each
# package is a part of the time until the first verdict.
OF_A_START = {
    "annotated_types",
    "cv2",
    "inspection",
    "linewarden",
    "numpy",
    "pydantic",
    "pydantic_core",
    "simplejpeg",
    "typing_extensions",
    "typing_inspection",
}
IMPORTED = {"inspect": OF_A_START, "run": OF_A_START | {"edge", "yaml"}}
NOT_FOR_ONE_IMAGE = (
    "inspection.config.loading",
    "inspection.engine.cuda",
    "inspection.engine.onnxruntime",
    "inspection.engine.tensorrt",
    "inspection.golden",
    "inspection.layout.layout_file",
    "inspection.trust.ed25519",
)


def run_without(names: set[str], code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCK.format(names=names) + code],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


def test_every_module_of_a_device_imports_without_the_training_frameworks() -> None:
    modules = [name for name in DEVICE_MODULES if not name.startswith(PANEL)]
    result = run_without(TRAINING | WEB, "\n".join(f"import {name}" for name in modules))
    assert result.returncode == 0, result.stderr
    assert len(modules) > 20


def test_the_panel_needs_the_packages_of_its_extra_beside_that() -> None:
    modules = [name for name in DEVICE_MODULES if name.startswith(PANEL)]
    result = run_without(TRAINING - {"jinja2"}, "\n".join(f"import {name}" for name in modules))
    assert result.returncode == 0, result.stderr
    assert len(modules) > 20


def test_calibration_needs_scipy_beside_that() -> None:
    code = "import calibration.calibrate, calibration.scores, calibration.tolerance"
    result = run_without(TRAINING - {"scipy"}, code)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("command", ON_DEVICE)
def test_commands_of_the_device_start_there(command: str) -> None:
    code = f"from linewarden.command_line import main; main(['{command}', '--help'])"
    result = run_without(TRAINING, code)
    assert result.returncode == 0, result.stderr
    assert f"usage: linewarden {command}" in result.stdout


@pytest.mark.parametrize("command", sorted(IMPORTED))
def test_a_command_imports_no_package_before_it_needs_it(command: str) -> None:
    code = f"import json, sys, linewarden.commands.{command}; print(json.dumps([*sys.modules]))"
    modules = json.loads(run_without(set(), code).stdout)
    # Extension modules of Cython have modules with such names for themselves.
    packages = {name.partition(".")[0] for name in modules if not re.match(r"_|cython", name)}
    assert packages - sys.stdlib_module_names - IMPORTED[command] == set()
    assert "numpy" in packages
    if command == "inspect":
        assert not set(NOT_FOR_ONE_IMAGE) & set(modules)


def test_a_missing_package_is_named_with_what_to_install() -> None:
    code = "from linewarden.command_line import main; sys.exit(main(['train', '--help']))"
    result = run_without(TRAINING, code)
    assert result.returncode == 1
    assert result.stdout.startswith("Learn good parts from a folder of images")
    assert "pip install 'linewarden[train]'" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_missing_engine_is_named_with_what_to_install() -> None:
    code = "from inspection.engine import engine_class; engine_class('onnxruntime')"
    result = run_without({"onnxruntime"}, code)
    assert (
        "engine 'onnxruntime' needs the package onnxruntime, and it is not installed: "
        "pip install 'linewarden[onnxruntime]'"
    ) in result.stderr


def test_bundles_are_installed_where_nothing_is_signed() -> None:
    code = "from linewarden.command_line import main; sys.exit(main(['bundle', 'list']))"
    assert run_without({"cryptography"}, code).returncode == 0
    code = "from linewarden.command_line import main; sys.exit(main(['bundle', 'keygen', 'k']))"
    result = run_without({"cryptography"}, code)
    assert result.returncode == 1
    assert "needs the package cryptography" in result.stderr
    assert "pip install 'linewarden[signing]'" in result.stderr


def test_no_other_distribution_claims_our_package_names() -> None:
    claims = packages_distributions()
    for name in (
        "linewarden",
        "edge",
        "inspection",
        "reports",
        "calibration",
        "training",
        "export",
    ):
        assert set(claims.get(name, ["linewarden"])) == {"linewarden"}


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_each_command_explains_itself(command: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "linewarden", command, "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert result.stderr == ""
    for part in ("usage: linewarden", "examples:", "exit codes:"):
        assert part in result.stdout
    assert all(len(line) <= 100 for line in result.stdout.splitlines())
