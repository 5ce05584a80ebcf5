"""`make gpu-bench` over the doubles writes a section, and none without a GPU."""

import sys
from pathlib import Path

import pytest

from inspection.bundle import Bundle
from linewarden.command_line import main as linewarden
from tests.bench import bench_gpu
from tests.doubles import golden_bundle
from tests.doubles.installed import install

DOCUMENT = "# Speed\n\n## On a GPU\n\nNot measured.\n\n## Records\n\nas before\n"


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return golden_bundle.build(tmp_path / "bundle")


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "performance.md"
    path.write_text(DOCUMENT)
    return path


def bench(bundle: Bundle, document: Path) -> int:
    return bench_gpu.main([str(bundle.folder), "--out", str(document)])


def test_the_section_takes_the_place_of_the_old_one(
    bundle: Bundle, document: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = install(monkeypatch)
    monkeypatch.setattr(bench_gpu, "ROUNDS", 3)
    monkeypatch.setattr(bench_gpu, "WARM_UP", 1)
    assert bench(bundle, document) == 6, "nothing was built"
    assert linewarden(["build", str(bundle.folder)]) == 0
    assert bench(bundle, document) == 0
    written = document.read_text()
    assert written.startswith(
        "# Speed\n\n## On a GPU\n\n`make gpu-bench BUNDLE=folder` (brightness"
    )
    assert written.endswith(" |\n\n## Records\n\nas before\n")
    assert "Simulated Orin, compute capability 8.7, CUDA driver 12060, " in written
    assert "TensorRT 10.3.0, one line:" in written
    assert written.count("| fp32 | copied | graph | ") == 1
    assert written.count("| fp32 | mapped | plain | ") == 1
    assert "| fp32 | TensorRT | 0 of 3 | 0.00% | " in written
    assert "| model.onnx | ONNX Runtime, CUDA | not measured: ONNX Runtime " in written
    assert bench(bundle, document) == 0
    assert document.read_text().count("## On a GPU") == 1
    installed.assert_clean()


def test_without_a_gpu_nothing_is_written(
    bundle: Bundle,
    document: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    assert bench(bundle, document) == 6
    assert "not measured, " in capsys.readouterr().err
    assert document.read_text() == DOCUMENT


def test_a_device_that_nothing_can_use_is_told(
    bundle: Bundle,
    document: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    install(monkeypatch)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    assert bench(bundle, document) == 6
    errors = capsys.readouterr().err
    assert "needs the package tensorrt, and it is not installed" in errors
    assert "has no CUDA either" in errors
    assert document.read_text() == DOCUMENT
