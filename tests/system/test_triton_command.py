"""Calibrates and verifies through a Triton server, which a double stands for."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("tritonclient.grpc", reason="needs the packages of the extra triton")

from edge.peers.triton import TritonServerConfig
from inspection.bundle import Bundle, open_bundle
from inspection.errors import ConfigError, EngineError
from linewarden.command_line import main
from tests.doubles import golden_bundle
from tests.doubles.triton_double import TritonDouble
from tests.tiny_bundle import SIZE

TRITON = ("--engine", "triton", "--artefact", "model.onnx", "--server")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return golden_bundle.build(tmp_path / "bundle")


def address_of(server: TritonDouble, folder: Path) -> str:
    path = folder / "server.yaml"
    host, port = server.address.split(":")
    path.write_text(f"host: {host}\nport: {port}\n")
    return str(path)


def test_a_calibration_through_the_server_is_bound_to_the_artefact(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "good").mkdir()
    for number in range(20):
        frame = np.full((SIZE, SIZE), 20 + number, np.uint8)
        cv2.imwrite(str(tmp_path / f"good/{number}.png"), frame)
    before = bundle.calibration("default", "model.onnx")
    with closing(TritonDouble(bundle.file("model.onnx"), "tiny_onnx")) as server:
        at = address_of(server, tmp_path)
        command = ["calibrate", str(bundle.folder), "--good", str(tmp_path / "good"), *TRITON, at]
        assert main(command) == 0
        assert server.asked >= 20
        assert main(["verify", str(bundle.folder), *TRITON, at]) == 0
        assert "golden frames agree" in capsys.readouterr().out
        server.sha256 = "0" * 64
        assert main(["verify", str(bundle.folder), *TRITON, at]) == EngineError.exit_code
        assert "is another artefact" in capsys.readouterr().err
    after = open_bundle(bundle.folder).calibration("default", "model.onnx")
    assert after.artefact_sha256 == bundle.sha256("model.onnx")
    assert after.seal != before.seal


def test_a_server_without_its_engine_is_refused_and_the_other_way_round(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "server.yaml"
    path.write_text("host: localhost\n")
    folder = str(bundle.folder)
    assert main(["verify", folder, "--server", str(path)]) == ConfigError.exit_code
    assert "--server is for --engine triton" in capsys.readouterr().err
    assert main(["verify", folder, *TRITON[:-1]]) == EngineError.exit_code
    assert "engine.server of a line, or --server FILE" in capsys.readouterr().err
    path.write_text("host: localhost\nprot: 8001\n")
    assert main(["verify", folder, *TRITON, str(path)]) == ConfigError.exit_code
    assert "did you mean 'port'" in capsys.readouterr().err


def test_the_address_is_that_of_grpc() -> None:
    found = TritonServerConfig.model_validate({"host": "fe80::1", "token": {"env": "HOME"}})
    server = found.resolved("a flange")
    assert (server.address, server.model) == ("[fe80::1]:8001", "a-flange_onnx")
    assert server.token
    assert not server.is_encrypted


def test_doctor_checks_for_the_client(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--engine", "triton"]) == 0
    assert "triton: ready" in capsys.readouterr().out
