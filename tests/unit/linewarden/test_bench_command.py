"""`linewarden bench`: the table, the JSON and the picture of one machine."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from linewarden.command_line import main
from tests.doubles import golden_bundle

pytest.importorskip("openvino")


def test_bench_shows_all_engines_and_the_way_of_a_frame(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, picture = tmp_path / "bundle", tmp_path / "bench.png"
    golden_bundle.build(folder)
    assert main(["bench", str(folder), "--threads", "1", "--picture", str(picture)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(", threads: 1")
    assert [line.split()[:3] for line in lines[2:4]] == [
        ["onnxruntime", "model.onnx", "fp32"],
        ["openvino", "model.onnx", "fp32"],
    ]
    kept = [line for line in lines if "  kept" in line]  # one way, or two stages
    assert 1 <= len(kept) <= 2
    assert lines[-1] == f"next: linewarden build {folder}"
    assert any(line.startswith("around it: preparing a frame of 32x32 takes ") for line in lines)
    image = cv2.imdecode(np.frombuffer(picture.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.std() > 10


def test_bench_gives_one_json_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "bundle"
    golden_bundle.build(folder)
    assert main(["bench", str(folder), "--json", "--recipe", "17"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["best"]["exact"]["artefact"] == "model.onnx"
    assert [trial["engine"] for trial in found["trials"]][:2] == ["onnxruntime", "openvino"]
    assert found["trials"][0]["median_ms"] > 0
    assert found["stages"] is None  # the recipe is not calibrated


def test_a_picture_without_a_folder_is_refused_before_the_measurement(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, picture = tmp_path / "bundle", tmp_path / "absent" / "bench.png"
    golden_bundle.build(folder)
    assert main(["bench", str(folder), "--picture", str(picture)]) == 3
    assert capsys.readouterr().err == (
        f"linewarden: --picture {picture}: the folder {picture.parent} does not exist: make it\n"
    )


@pytest.mark.parametrize("command", ["bench", "build", "inspect"])
@pytest.mark.parametrize("threads", ["-3", "100000", "two"])
def test_an_engine_has_a_number_of_threads_that_a_machine_can_start(
    command: str, threads: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command, "bundle", "--threads", threads])
    expected = f"argument --threads: {threads}: give a whole number from 1 to 1024"
    assert expected in capsys.readouterr().err
