"""Two lines on one device: the things that only one may have."""

from pathlib import Path

from edge.station.config import LineConfig
from edge.station.neighbours import shared_with


def line(folder: Path, name: str, port: int) -> LineConfig:
    return LineConfig.model_validate(
        {
            "bundle": folder / "bundle",
            "camera": {"kind": "pylon", "serial": name},
            "outputs": [
                {"kind": "jsonlines", "path": folder / f"{name}.jsonl"},
                {"kind": "mqtt", "host": "plant", "topic": f"hall/{name}", "client_id": "line"},
            ],
            "health": {"port": port},
        }
    )


def test_what_two_lines_share_is_named_with_both_keys(tmp_path: Path) -> None:
    first, second, third = (
        line(tmp_path, "a", 9540), line(tmp_path, "b", 9540), line(tmp_path, "a", 9541)
    )  # fmt: skip
    client = (
        "outputs.1.client_id: takes the client_id 'line' at the broker plant, and "
        "outputs.1.client_id of press4 takes it too; the broker ends the connection of the "
        "one when the other connects: give each its own"
    )
    assert shared_with(first, {"press4": second}) == [
        client,
        (
            "health.port: takes port 9540 on 127.0.0.1, and health.port of press4 takes it too; "
            "give each a port of its own"
        ),
    ]
    keys = [shared.partition(":")[0] for shared in shared_with(first, {"press4": third})]
    assert keys == ["camera.serial", "outputs.0.path", "outputs.1.client_id", "outputs.1.topic"]
    assert shared_with(first, {}) == []
