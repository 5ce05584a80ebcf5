"""The study beside the peer: its process, its section, and a peer that ends."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from inspection.errors import EngineError
from studies import peer_speed

FRAME = np.zeros((4, 6, 3), np.uint8)
ANSWERS = """
import json, pathlib, sys
backbone, folder, threads, frame = sys.argv[1:]
assert (backbone, folder, threads) == ("some.net", "peer", "2"), sys.argv
assert pathlib.Path(frame).is_file()
print(json.dumps(["peer, torch", "peer, OpenVINO"]), flush=True)
for line in sys.stdin:
    print({"peer, torch\\n": 4.5, "peer, OpenVINO\\n": 2.0}[line], flush=True)
"""


@pytest.mark.parametrize(("script", "ends"), [(ANSWERS, False), ("", True)])
def test_the_peer_answers_by_name_from_its_own_process(
    script: str, ends: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = tmp_path / "server.py"
    server.write_text(script)
    monkeypatch.setattr(peer_speed, "SERVER", server)
    peer = peer_speed.peer_sides(Path(sys.executable), "some.net", tmp_path, 2, FRAME)
    if ends:
        with pytest.raises(EngineError, match="the peer ended: read its output above"), peer:
            pass
        return
    with peer as sides:
        assert [run() for run in sides.values()] == [4.5, 2.0]
        assert sides["peer, torch"]() == 4.5


def test_the_section_has_a_row_for_each_side_and_ratios_to_the_peer() -> None:
    medians = {
        "a.b": {"peer, OpenVINO": 40.0, "FP32, openvino bf16": 16.0},
        "c": {"peer, OpenVINO": 90.0, "FP32, openvino bf16": 45.0},
    }
    lines = peer_speed.section(medians, threads=2, rounds=30).splitlines()
    assert lines[0] == peer_speed.TITLE
    assert "anomalib[openvino]==2.7.0, openvino==2026.4.1, nncf==3.4.0;" in " ".join(lines)
    assert lines[-4:] == [
        "| | a ms | ratio | c ms | ratio |",
        "|---|---|---|---|---|",
        "| peer, OpenVINO | 40.0 | 1.00 | 90.0 | 1.00 |",
        "| FP32, openvino bf16 | 16.0 | 2.50 | 45.0 | 2.00 |",
    ]
