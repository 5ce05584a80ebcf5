"""A line with its health page counts its parts and gives each output a name."""

import json
import re
import socket
import urllib.request
from pathlib import Path

import numpy as np

from edge.part.record import InspectionRecord
from edge.service.served_station import open_served_station
from edge.station.config import LineConfig
from inspection.bundle import Bundle
from inspection.config.loading import load_config
from inspection.images import encode_png


def get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as page:
        return str(page.read().decode())


def test_parts_are_counted_and_outputs_of_a_kind_are_told_apart(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "parts").mkdir()
    for number in range(3):
        image = encode_png(np.full((32, 32), 20, np.uint8))
        (tmp_path / "parts" / f"{number}.png").write_bytes(image)
    path = tmp_path / "line.yaml"
    path.write_text(
        "bundle: bundle\n"
        "camera: {kind: replay, path: parts}\n"
        "deadline_ms: 30000\n"
        f"health: {{port: {port}}}\n"
        "outputs:\n"
        "  - {kind: jsonlines, path: a.jsonl}\n"
        "  - {kind: jsonlines, path: b.jsonl}\n"
    )
    records: list[InspectionRecord] = []
    with open_served_station(load_config(path, LineConfig), records.append) as station:
        summary = station.pipeline.run()
        metrics = get(port, "/metrics")
        outputs = json.loads(get(port, "/healthz"))["outputs"]
    assert summary.triggers == len(records) == 3
    assert re.search(r'^linewarden_parts_total{verdict="PASS"} 3\.0$', metrics, re.MULTILINE)
    assert list(outputs) == ["jsonlines-1", "jsonlines-2"]
