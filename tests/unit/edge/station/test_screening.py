"""`linewarden line check`: each missing thing has a line and the command that mends it."""

import json
import os
import re
import socket
from pathlib import Path

import pytest

from edge.line import OUTPUTS
from edge.sim.base import free_port
from edge.station.config import LineConfig
from edge.station.screening import peers_of, screened
from inspection.bundle import open_bundle
from inspection.config.loading import load_config
from inspection.engine.preflight import Check
from inspection.errors import ConfigError
from linewarden.command_line import main
from linewarden.exit_codes import NOT_READY
from tests.doubles.line_folder import add_tolerant_recipe, part, write_line, write_parts
from tests.tiny_bundle import build

REPLAY = "camera: {kind: replay, path: parts}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build(tmp_path / "bundle")
    write_parts(tmp_path / "parts", part())
    return tmp_path


def checks(config: Path, *settings: str) -> dict[str, Check]:
    return {check.name: check for check in screened(load_config(config, LineConfig, settings))}


def test_a_line_that_has_everything(folder: Path) -> None:
    found = checks(write_line(folder, REPLAY))
    missing = {name for name, check in found.items() if not check.is_met}
    assert missing <= {"clock", "disk"}  # a container may have no time server, and little room
    assert found["recipe"].found == "calibrated through model.onnx, and the golden frames agree"


def test_the_promise_for_a_part_is_that_of_its_views_together(folder: Path) -> None:
    add_tolerant_recipe(open_bundle(folder / "bundle"))
    view = "camera: {kind: replay, path: parts}"
    top, side = f"{{{view}, bundle: bundle}}", f"{{{view}, bundle: bundle, recipe: tolerant}}"
    config = write_line(folder, f"views: {{top: {top}, side: {side}}}\n")
    bound = (
        2
        * open_bundle(folder / "bundle")
        .calibration("default", "model.onnx")
        .false_reject_rate_bound
    )
    assert checks(config)["recipe"].found.endswith(
        f"agree; at most {bound:.2%} of good parts rejected by 2 views together "
        f"(top {bound / 2:.2%}, side {bound / 2:.2%}), with 90% confidence"
    )


def test_the_camera_and_the_bundle_are_missing(tmp_path: Path) -> None:
    found = checks(write_line(tmp_path, REPLAY))
    assert not found["bundle"].is_met
    assert found["bundle"].mend.startswith("make one with: linewarden teach")
    assert not found["camera main"].is_met
    assert "recipe" not in found  # one line for one cause


def test_a_taken_port_names_the_command_that_finds_its_program(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = write_line(folder, REPLAY, f"health: {{port: {port}}}\n")
        found = checks(config)[f"port {port}"]
    assert not found.is_met
    assert found.mend == f"ss -ltnp 'sport = :{port}' names the program on it"
    assert checks(config)[f"port {port}"].is_met


def test_a_peer_that_does_not_answer(folder: Path) -> None:
    pytest.importorskip("pymodbus")
    port = free_port()
    plc = f"trigger: {{kind: modbus, host: 127.0.0.1, port: {port}, address: 1}}\n"
    found = checks(write_line(folder, REPLAY, plc))["peer of trigger"]
    assert not found.is_met
    assert found.found == f"127.0.0.1:{port}: Connection refused"
    with socket.socket() as there:
        there.bind(("127.0.0.1", port))
        there.listen()
        assert checks(folder / "line.yaml")["peer of trigger"].is_met


def test_a_secret_that_every_user_may_read(folder: Path) -> None:
    secret = folder / "broker-password"
    secret.write_text("secret")
    broker = "host: 127.0.0.1, topic: plant/line, client_id: line"
    access = "username: line, password: {file: broker-password}"
    config = write_line(folder, REPLAY)
    config.write_text(config.read_text() + f"  - {{kind: mqtt, {broker}, {access}}}\n")
    secret.chmod(0o644)
    found = checks(config)[f"secret {secret}"]
    assert not found.is_met
    assert found.mend == f"sudo chmod o= {secret}, and give it to the user of the line"
    secret.chmod(0o640)
    assert checks(config)[f"secret {secret}"].is_met


BROKER = "topic: line3, client_id: a"
PEERS = {
    "gpio": ("chip: /dev/gpiochip0, lines: {pass: A, reject: B}", None),
    "jsonlines": ("path: more.jsonl", None),
    "modbus": ("host: 192.0.2.1", ("192.0.2.1", 502)),
    "modbus_server": ("host: 192.0.2.1", None),
    "s7": ("host: 192.0.2.1, db: 100", ("192.0.2.1", 102)),
    "ethernet_ip": ("host: 192.0.2.1, tag: Verdict", ("192.0.2.1", 44818)),
    "opcua": ("host: 192.0.2.1", None),
    "mqtt": (f"host: 192.0.2.1, {BROKER}", ("192.0.2.1", 1883)),
    "webhook": ("url: 'https://192.0.2.1/verdicts'", ("192.0.2.1", 443)),
}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_every_output_that_connects_has_a_peer(kind: str, folder: Path) -> None:
    settings, address = PEERS[kind]
    config = write_line(folder, REPLAY)
    with config.open("a") as file:
        file.write(f"  - {{kind: {kind}, {settings}}}\n")
    peers = [(one.name, one.host, one.port) for one in peers_of(load_config(config, LineConfig))]
    assert peers == ([] if address is None else [(kind, *address)])


@pytest.mark.parametrize(
    ("kind", "trigger", "recipes"),
    [
        ("s7", "db: 1, byte: 0", "db: 1, request_byte: 2, status_byte: 4"),
        ("ethernet_ip", "tag: Go", "request_tag: Wanted, status_tag: Loaded"),
        ("mqtt", BROKER, "topic: plant/line3, client_id: b"),
    ],
)
def test_every_trigger_and_recipe_request_that_connects_has_a_peer(
    kind: str, trigger: str, recipes: str, folder: Path
) -> None:
    text = f"trigger: {{kind: {kind}, host: 192.0.2.1, {trigger}}}\n"
    text += "start_recipe: 1\nrecipes: {1: {}}\n"
    text += f"recipe_request: {{kind: {kind}, host: 192.0.2.2, {recipes}}}\n"
    found = peers_of(load_config(write_line(folder, REPLAY, text), LineConfig))
    assert [(one.name, one.host) for one in found] == [
        *(("trigger", "192.0.2.1"), ("recipe_request", "192.0.2.2"))
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(folder: Path) -> None:
    (folder / "closed").mkdir(mode=0o500)
    found = checks(write_line(folder, REPLAY, "records: {folder: closed/records}\n"))
    refused = [check for check in found.values() if not check.is_met]
    assert all("sudo chown" in check.mend for check in refused if "file" in check.name)


def test_the_disk_is_too_small(folder: Path) -> None:
    images = "records: {folder: records, images: {max_bytes: 1000000000000000}}\n"
    found = checks(write_line(folder, REPLAY, images))[f"disk of {folder / 'records'}"]
    assert not found.is_met
    assert "lower records.images.max_bytes" in found.mend


SECRETS = {
    "mqtt": "{kind: mqtt, host: 127.0.0.1, topic: line3, client_id: a, username: u, password: %s}",
    "webhook": "{kind: webhook, url: 'http://127.0.0.1:9/', secret: %s}",
    "opcua": "{kind: opcua, host: 127.0.0.1, security: {certificate_file: c.pem, "
    "key_file: k.pem, username: u, password: %s}}",
}


@pytest.mark.parametrize("kind", SECRETS)
def test_a_missing_secret_refuses_every_output_in_the_same_way(
    kind: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_line(folder, REPLAY)
    with config.open("a") as file:
        file.write(f"  - {SECRETS[kind] % '{file: nowhere}'}\n")
    missing = f"{folder / 'nowhere'}: the secret cannot be read: No such file or directory"
    with pytest.raises(ConfigError, match=re.escape(missing)):  # as `run` and a service load it
        load_config(config, LineConfig, files=True)
    code = main(["line", "check", "--config", str(config), "--json"])
    said = capsys.readouterr()
    assert code == NOT_READY, said.err
    report = json.loads(said.out)
    (flaw,) = [check for check in report["checks"] if missing in check["found"]]
    assert flaw["mend"] == "put it there, readable for the user of the line"
    assert not report["is_ready"]
