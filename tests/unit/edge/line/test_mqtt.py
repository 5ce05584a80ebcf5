"""MQTT: confirmed verdicts, a retained state with a last will, TLS and passwords."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

pytest.importorskip("paho.mqtt")

from edge.line import MqttConfig, StationState, output_from_config
from edge.part.record import InspectionRecord
from inspection.errors import LineError
from tests.doubles.certificates import certificate
from tests.doubles.line_peers import Broker, closing, free_port, wait_for

MakeRecord = Callable[[int], InspectionRecord]
ROOT = Path(__file__).parents[4]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with closing(Broker(free_port(), tmp_path)) as broker:
        broker.subscribe()
        yield broker


def config(port: int, **settings: Any) -> MqttConfig:
    defaults = {
        "kind": "mqtt",
        "host": "127.0.0.1",
        "port": port,
        "topic": "test/line",
        "client_id": "station",
        "timeout_ms": 5000,
    }
    return MqttConfig.model_validate(defaults | settings)


def state(broker: Broker) -> str | None:
    return broker.topics.get("test/line/state")


def test_a_verdict_is_the_record_with_a_number(broker: Broker, make_record: MakeRecord) -> None:
    output = output_from_config(config(broker.port))
    output.open()
    output.send(make_record(1))
    output.send(make_record(2))
    wait_for(lambda: len(broker.verdicts) == 2)
    first, second = broker.verdicts
    assert second["sequence"] == first["sequence"] % 65535 + 1
    assert InspectionRecord.model_validate(
        {key: value for key, value in first.items() if key != "sequence"}
    ) == make_record(1)
    output.close()


def test_the_state_is_told_and_the_heartbeat_moves(broker: Broker) -> None:
    output = output_from_config(config(broker.port))
    output.open()
    wait_for(lambda: state(broker) == "fault")
    output.show(StationState.READY)
    wait_for(lambda: broker.topics.get("test/line/heartbeat") == "1")
    output.show(StationState.READY)
    wait_for(lambda: broker.topics.get("test/line/heartbeat") == "2")
    assert state(broker) == "ready"
    output.close()
    wait_for(lambda: state(broker) == "offline")


def test_the_state_is_retained_and_verdicts_are_not(
    broker: Broker, make_record: MakeRecord
) -> None:
    output = output_from_config(config(broker.port))
    output.open()
    output.show(StationState.READY)
    output.send(make_record(1))
    wait_for(lambda: broker.verdicts)
    broker.topics.clear()
    broker.verdicts.clear()
    broker.subscribe()
    wait_for(lambda: state(broker) == "ready")
    time.sleep(0.1)
    assert broker.verdicts == []
    output.close()


def test_a_killed_station_leaves_its_last_will(broker: Broker) -> None:
    code = f"""
import os
from edge.line import MqttConfig, StationState, output_from_config
config = {config(broker.port).model_dump(mode="json")!r}
output = output_from_config(MqttConfig.model_validate(config))
output.open()
output.show(StationState.READY)
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    wait_for(lambda: state(broker) == "offline")


def test_a_broker_that_was_away_is_met_by_open(broker: Broker, make_record: MakeRecord) -> None:
    output = output_from_config(config(broker.port))
    output.open()
    broker.kill()
    with pytest.raises(LineError, match=r"test-000001|cannot be published"):
        output.send(make_record(1))
    with pytest.raises(LineError, match="check host, port and tls, and that the broker runs"):
        output.open()
    broker.start()
    broker.subscribe()
    output.open()
    output.send(make_record(2))
    wait_for(lambda: broker.verdicts)
    assert [verdict["trigger_id"] for verdict in broker.verdicts] == ["test-000002"]
    output.close()


def test_a_wrong_password_is_told(tmp_path: Path) -> None:
    program = shutil.which("mosquitto_passwd")
    if program is None:
        pytest.skip("needs mosquitto_passwd (apt install mosquitto)")
    passwords = tmp_path / "passwords"
    subprocess.run([program, "-b", "-c", passwords, "line3", "right"], check=True)
    settings = f"password_file {passwords}\nuser root\n"
    broker = Broker(free_port(), tmp_path, settings)
    secret = tmp_path / "secret"
    output = output_from_config(
        config(broker.port, username="line3", password={"file": str(secret)})
    )
    try:
        with pytest.raises(LineError, match="secret: the secret cannot be read"):
            output.open()
        secret.write_text("wrong\n")
        with pytest.raises(LineError, match="check username and password"):
            output.open()
        secret.write_text("right\n")
        output.open()
        output.close()
    finally:
        broker.kill()


# paho leaves a connection whose certificate it refuses to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls_checks_the_broker(tmp_path: Path, make_record: MakeRecord) -> None:
    certificate_file, key_file = certificate(tmp_path, "broker")
    stranger, _ = certificate(tmp_path, "stranger")
    settings = f"allow_anonymous true\nuser root\ncertfile {certificate_file}\nkeyfile {key_file}\n"
    broker = Broker(free_port(), tmp_path, settings)
    try:
        wrong = config(broker.port, tls={"ca_file": str(stranger)}, timeout_ms=2000)
        with pytest.raises(LineError, match="CERTIFICATE_VERIFY_FAILED"):
            output_from_config(wrong).open()
        right = config(broker.port, tls={"ca_file": str(certificate_file)}, timeout_ms=2000)
        output = output_from_config(right)
        output.open()
        output.send(make_record(1))
        output.close()
    finally:
        broker.kill()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"topic": "plant/#"}, "topic"),
        ({"topic": "/plant"}, "topic"),
        ({"password": {"file": "a", "env": "B"}}, "either 'file' or 'env'"),
        ({"password": {}}, "either 'file' or 'env'"),
        ({"password": "secret"}, "password"),
        ({"client_id": ""}, "client_id"),
        ({"password": {"env": "B"}}, "'password' without 'username'"),
    ],
)
def test_wrong_configurations(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config(1883, **settings)
