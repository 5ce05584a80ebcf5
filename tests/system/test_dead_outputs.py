"""A dead output and a flood of triggers, on a whole line as users run it."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from edge.station.control import ask
from edge.store.reader import Filter, RecordReader
from inspection.bundle import Bundle
from tests.doubles.line_folder import (
    GENEROUS_S,
    RECORDS,
    part,
    running,
    told,
    write_line,
    write_parts,
)
from tests.doubles.waiting import wait_for

CAMERA = "camera: {kind: replay, path: parts, loop: true}\ncontrol_socket: line.sock\n"
PARTS = 40


def stop(config: Path, process: subprocess.Popen[str]) -> str:
    """Stops the line; returns its summary."""
    ask(config.parent / "line.sock", "stop")
    output, _ = process.communicate(timeout=GENEROUS_S)
    return output


def records_by_id(config: Path) -> dict[str, object]:
    with RecordReader(config.parent / "records") as reader:
        return {one.record.trigger_id: one.record for one in reader.find(Filter())}


def troubles(config: Path) -> list[tuple[str, str]]:
    """Returns kind and output of the troubles in the records, the newest first."""
    with RecordReader(config.parent / "records") as reader:
        return [(one.kind, one.name) for one in reader.troubles(100)]


def test_a_server_that_nobody_polls_costs_the_other_outputs_nothing(
    tmp_path: Path, tiny_bundle: Bundle
) -> None:
    """Each verdict waits there for a PLC in vain; JSON lines have them all, and all are judged."""
    pytest.importorskip("pymodbus", reason="needs pip install 'linewarden[modbus]'")
    from tests.doubles.line_peers import free_port

    write_parts(tmp_path / "parts", part(), part(spot=True))
    trigger = "trigger: {kind: interval, period_ms: 125, frame_limit_ms: 20000}\n"
    config = write_line(tmp_path, CAMERA, trigger, RECORDS)
    dead = f"  - {{kind: modbus_server, host: 127.0.0.1, port: {free_port()}, timeout_ms: 1000}}\n"
    config.write_text(config.read_text().replace("outputs:\n", f"outputs:\n{dead}"))
    with running(config) as process:
        wait_for(lambda: len(told(config)) >= PARTS, GENEROUS_S)
        wait_for(lambda: ("output", "modbus_server") in troubles(config), GENEROUS_S)
        summary = stop(config, process)
    assert process.returncode == 7  # the dead output, told at the end
    # On a machine that is busy a part may come before the frame of the one before.
    judged = [one for one in told(config)[:PARTS] if one["cause"] != "overtrigger"]
    assert {record["verdict"] for record in judged} == {"PASS", "REJECT"}
    assert len(judged) > PARTS / 2
    assert "verdicts that an output did not take" in summary
    for record in records_by_id(config).values():
        answers = {one.output: one for one in record.told}  # type: ignore[attr-defined]
        assert answers["jsonlines"].verdict is record.verdict  # type: ignore[attr-defined]
        assert "modbus_server" in answers["modbus_server"].error


def test_a_flood_of_triggers_does_not_end_the_line(tmp_path: Path, tiny_bundle: Bundle) -> None:
    """3,000 messages of one client at once: bounded, counted, and the line goes on."""
    pytest.importorskip("paho.mqtt", reason="needs pip install 'linewarden[mqtt]'")
    pytest.importorskip("pymodbus", reason="needs pip install 'linewarden[modbus]'")
    pytest.importorskip("asyncua", reason="needs pip install 'linewarden[opcua]'")
    pytest.importorskip("gpiod", reason="needs pip install 'linewarden[gpio]'")
    import paho.mqtt.client as paho
    from paho.mqtt import enums

    from tests.doubles.line_peers import Broker, free_port

    broker = Broker(free_port(), tmp_path)
    write_parts(tmp_path / "parts", part())
    trigger = (
        f"trigger: {{kind: mqtt, host: 127.0.0.1, port: {broker.port}, topic: parts, "
        "client_id: line, frame_limit_ms: 20000}\n"
    )
    config = write_line(tmp_path, CAMERA, trigger, RECORDS)
    client = paho.Client(enums.CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()

    def announce(part_id: str) -> None:
        assert client.publish("parts", part_id).rc == 0

    def passed(part_id: str) -> bool:
        return any(one["part_id"] == part_id and one["verdict"] == "PASS" for one in told(config))

    try:
        with running(config) as process:
            announce("before")
            wait_for(lambda: passed("before"), GENEROUS_S)
            for number in range(3000):
                announce(f"flood {number}")
            wait_for(
                lambda: any("flood" in (one["part_id"] or "") for one in told(config)), GENEROUS_S
            )

            def comes_through() -> bool:
                announce("after")
                time.sleep(0.5)  # two at a time would be a flood of their own
                return passed("after")

            wait_for(comes_through, GENEROUS_S)
            assert process.poll() is None
            stop(config, process)
    finally:
        client.loop_stop()
        broker.kill()
    assert process.returncode == 0
    records = records_by_id(config)
    sent = {record["trigger_id"]: record["verdict"] for record in told(config)}
    assert records.keys() == sent.keys()
    for trigger_id, verdict in sent.items():
        assert records[trigger_id].verdict.value == verdict  # type: ignore[attr-defined]
