"""`linewarden convert` writes whole folders or none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from inspection.bundle import Bundle
from linewarden.command_line import COMMANDS, main

golden_bundle = pytest.importorskip("tests.doubles.golden_bundle", reason="needs the package onnx")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    built: Bundle = golden_bundle.build(tmp_path / "bundle")
    return built


def convert(bundle: Bundle, out: Path, *words: str) -> int:
    return main(["convert", str(bundle.folder), str(out), *words])


@pytest.mark.parametrize(
    ("runtime", "expected"),
    [
        ("triton", "models/tiny_onnx/config.pbtxt"),
        ("deepstream", "config_infer_linewarden.txt"),
        ("openvino", "model.onnx"),
    ],
)
def test_each_runtime_is_written(
    runtime: str, expected: str, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if runtime == "openvino":
        pytest.importorskip("openvino")
    out = tmp_path / "served"
    assert convert(bundle, out, "--to", runtime) == 0
    assert {"README.md", "linewarden.json"} <= {path.name for path in out.iterdir()}
    assert (out / expected).is_file()
    assert f"served: tiny for {runtime}" in capsys.readouterr().out


def test_an_old_folder_stays_unless_it_is_to_be_replaced(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "served"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    assert convert(bundle, out, "--to", "triton") == 3
    assert "served: exists; choose another folder, or --replace it" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
    assert convert(bundle, out, "--to", "triton", "--replace") == 0
    assert not (out / "mine.txt").exists()


def test_what_fails_leaves_nothing(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.iterdir())
    assert convert(bundle, tmp_path / "served", "--to", "triton", "--artefact", "no.onnx") == 4
    assert "has no artefact 'no.onnx'" in capsys.readouterr().err
    (bundle.folder / "model.onnx").write_bytes(b"changed")
    assert convert(bundle, tmp_path / "served", "--to", "deepstream") == 4
    assert sorted(tmp_path.iterdir()) == before


def test_an_option_without_effect_is_refused(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "served"
    assert convert(bundle, out, "--to", "triton", "--ir") == 3
    assert "--ir works with --to openvino only: leave it out for triton" in capsys.readouterr().err
    assert convert(bundle, out, "--to", "deepstream", "--device", "gpu") == 3
    assert "--device works with --to triton only" in capsys.readouterr().err


def test_a_plan_is_no_choice(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--to", "triton", "--artefact", "engines/x/fp32/model.plan"]
    assert convert(bundle, tmp_path / "served", *words) == 3
    assert "is not an ONNX file; Triton gets the plans anyway" in capsys.readouterr().err


def test_a_model_repository_needs_neither_torch_nor_onnx(bundle: Bundle, tmp_path: Path) -> None:
    """A serving machine makes its repository from a bundle."""
    assert COMMANDS["convert"].module == "linewarden.commands.convert"
    out = tmp_path / "served"
    code = (
        "import sys\n"
        "for name in ('torch', 'onnx', 'openvino', 'scipy'): sys.modules[name] = None\n"
        "from linewarden.command_line import main\n"
        f"sys.exit(main(['convert', {str(bundle.folder)!r}, {str(out)!r}, '--to', 'triton']))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert (out / "models/tiny_onnx/1/model.onnx").is_file()
