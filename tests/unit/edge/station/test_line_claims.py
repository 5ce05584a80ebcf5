"""Settings of a line that are right alone and wrong together: both are named, with their lines."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from edge.camera import CAMERAS
from edge.line.outputs_config import OUTPUTS
from edge.peers.addresses import EtherNetIpPeer, ModbusPeer, MqttBroker, S7Peer
from edge.recipe.request.config import RecipeRequestConfig
from edge.station.config import LineConfig
from edge.trigger.config import FiredTriggerConfig
from inspection.config.claims import Claimant
from inspection.config.loading import load_config
from inspection.errors import ConfigError

BASE = "bundle: b\ncamera: {kind: replay, path: parts}\n"
FILE = "outputs:\n  - {kind: jsonlines, path: a.jsonl}\n"
MQTT_OUT = "  - {kind: mqtt, host: plant, topic: hall/line3, client_id: line3}\n"
MODBUS_OUT = (
    "  - {kind: modbus, host: 10.0.0.9, register_address: 100, acknowledge_register: 120}\n"
)
RECIPES = "recipes: {1: {}}\nstart_recipe: 1\n"


KINDS: list[type[Claimant]] = [
    *OUTPUTS.values(),
    *CAMERAS.values(),
    *(
        one
        for one in get_args(FiredTriggerConfig)
        if issubclass(one, ModbusPeer | S7Peer | EtherNetIpPeer | MqttBroker)
    ),
    *get_args(get_args(RecipeRequestConfig)[0]),
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))
def test_each_kind_says_what_it_claims(kind: type[Claimant]) -> None:
    """A new kind takes part in the comparison too."""
    assert issubclass(kind, Claimant)
    assert kind.claims not in (Claimant.claims, ModbusPeer.claims)


def refusal(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "line.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path, LineConfig)
    assert caught.value.exit_code == 3
    return str(caught.value).replace(f"{tmp_path}/", "").splitlines()


def accepted(tmp_path: Path, text: str) -> LineConfig:
    path = tmp_path / "line.yaml"
    path.write_text(text)
    return load_config(path, LineConfig)


def test_one_client_id_for_output_trigger_and_recipe_request(tmp_path: Path) -> None:
    text = (
        BASE
        + RECIPES
        + FILE
        + MQTT_OUT
        + "trigger: {kind: mqtt, host: PLANT., port: 8883, topic: hall/parts, client_id: line3}\n"
        + "recipe_request: {kind: mqtt, host: plant, topic: hall/line3, client_id: line3}\n"
    )
    lines = refusal(tmp_path, text)
    assert len(lines) == 3
    assert lines[0] == (
        "line.yaml:7: outputs.1.client_id: takes the client_id 'line3' at the broker plant, and "
        "recipe_request.client_id (line.yaml:9) takes it too; the broker ends the connection of "
        "the one when the other connects: give each its own"
    )
    ids = iter(["line3-trigger", "line3-recipes"])
    apart = re.sub(r"(topic: hall/\w+, client_id: line3)}\n(?!trigger)", r"\1-x}\n", text)
    apart = re.sub("line3-x", lambda _: next(ids), apart)
    assert accepted(tmp_path, apart)


def test_an_output_topic_that_is_the_trigger(tmp_path: Path) -> None:
    trigger = "trigger: {kind: mqtt, host: plant, topic: hall/line3/heartbeat, client_id: t}\n"
    (line,) = refusal(tmp_path, BASE + "outputs:\n" + MQTT_OUT + trigger)
    assert line == (
        "line.yaml:4: outputs.0.topic: takes the topic 'hall/line3/heartbeat' at the broker plant, "
        "and trigger.topic (line.yaml:5) takes it too; give each a topic of its own"
    )


@pytest.mark.parametrize(
    ("output", "rest", "expected"),
    [
        (
            "register_address: 100, acknowledge_register: 114",
            "",
            (
                "line.yaml:4: outputs.0.acknowledge_register: takes holding register 114 of "
                "10.0.0.9:502, device_id 1, and outputs.0.register_address (line.yaml:4) takes "
                "holding registers 100 to 114 of 10.0.0.9:502, device_id 1; give each holding "
                "registers of its own"
            ),
        ),
        (
            "register_address: 100",
            "trigger: {kind: modbus, host: 10.0.0.9, address: 101}\n",
            (
                "line.yaml:4: outputs.0.register_address: takes holding registers 100 to 114 of "
                "10.0.0.9:502, device_id 1, and trigger.address (line.yaml:5) takes holding "
                "register "
                "101 of"
            ),
        ),
        (
            "register_address: 100, acknowledge_register: 147",
            "trigger: {kind: modbus, host: 10.0.0.9, address: 1, part_id_address: 140}\n",
            (
                "line.yaml:4: outputs.0.acknowledge_register: takes holding register 147 of "
                "10.0.0.9:502, device_id 1, and trigger.part_id_address (line.yaml:5)"
            ),
        ),
        (
            "register_address: 42",
            RECIPES + "recipe_request: {kind: modbus, host: 10.0.0.9, request_address: 1, "
            "status_address: 40}\n",
            (
                "line.yaml:4: outputs.0.register_address: takes holding registers 42 to 56 of "
                "10.0.0.9:502, device_id 1, and recipe_request.status_address (line.yaml:7) takes "
                "holding registers 40 to 42"
            ),
        ),
        (
            "register_address: 65522",
            "",
            (
                "line.yaml:4: outputs.0.register_address: holding registers 65522 to 65536 reach "
                "beyond 65535, the last one"
            ),
        ),
        (
            "register_address: 0",
            "trigger: {kind: modbus, host: 10.0.0.9, address: 20, part_id_address: 65530}\n",
            "line.yaml:5: trigger.part_id_address: holding registers 65530 to 65537 reach beyond",
        ),
        (
            "register_address: 0",
            RECIPES + "recipe_request: {kind: modbus, host: 10.0.0.9, request_address: 20, "
            "status_address: 65534}\n",
            "line.yaml:7: recipe_request.status_address: holding registers 65534 to 65536 reach",
        ),
        (
            "register_address: 0",
            RECIPES + "recipe_request: {kind: modbus, host: 10.0.0.9, request_address: 21, "
            "status_address: 20}\n",
            "line.yaml:7: recipe_request.status_address: takes holding registers 20 to 22",
        ),
    ],
)
def test_registers_of_all_roles(tmp_path: Path, output: str, rest: str, expected: str) -> None:
    text = f"{BASE}outputs:\n  - {{kind: modbus, host: 10.0.0.9, {output}}}\n{rest}"
    (line,) = refusal(tmp_path, text)
    assert line.startswith(expected)


@pytest.mark.parametrize(
    "trigger",
    [
        "table: coil, address: 101",
        "address: 115",
        "address: 101, device_id: 2",
        "address: 101, port: 503",
        "address: 119",
    ],
)
def test_registers_that_are_others(tmp_path: Path, trigger: str) -> None:
    text = f"trigger: {{kind: modbus, host: 10.0.0.9, {trigger}}}\n"
    assert accepted(tmp_path, f"{BASE}outputs:\n{MODBUS_OUT}{text}")


def test_two_plcs_behind_one_address_are_one(tmp_path: Path) -> None:
    """Both ids address the server itself and no device behind it."""
    outputs = "".join(
        f"  - {{kind: modbus, host: plc, register_address: {10 * number}, device_id: {number}}}\n"
        for number in (0, 255, 3)
    )
    text = f"{BASE}outputs:\n{outputs}".replace("2550", "10")
    (line,) = refusal(tmp_path, text)
    assert line.startswith("line.yaml:5: outputs.1.register_address: takes holding registers")


def test_the_registers_of_a_server_are_in_two_tables(tmp_path: Path) -> None:
    server = "  - {kind: modbus_server, host: 0.0.0.0, port: 1502, acknowledge_register: 0}\n"
    assert accepted(tmp_path, f"{BASE}outputs:\n{server}")
    own = "trigger: {kind: modbus, host: localhost, port: 1502, address: 0}\n"
    (line,) = refusal(tmp_path, f"{BASE}outputs:\n{server}{own}")
    assert "outputs.0.acknowledge_register: takes holding register 0" in line
    assert "trigger.address (line.yaml:5)" in line
    far = server.replace("acknowledge_register: 0", "register_address: 65530")
    (line,) = refusal(tmp_path, f"{BASE}outputs:\n{far}")
    assert "input registers 65530 to 65544 reach beyond 65535" in line


@pytest.mark.parametrize(
    ("first", "second", "is_refused"),
    [
        ("{kind: modbus_server, host: 0.0.0.0}", "{kind: modbus_server, host: 127.0.0.1}", True),
        ("{kind: opcua, host: '::', port: 502}", "{kind: modbus_server, host: 10.0.0.1}", True),
        ("{kind: opcua, host: localhost}", "{kind: opcua, host: 127.0.0.1}", True),
        ("{kind: opcua, host: 10.0.0.1}", "{kind: opcua, host: 10.0.0.2}", False),
        ("{kind: opcua, host: 10.0.0.1}", "{kind: opcua, host: 10.0.0.1, port: 4841}", False),
    ],
)
def test_two_servers_on_one_port(tmp_path: Path, first: str, second: str, is_refused: bool) -> None:
    text = f"{BASE}outputs:\n  - {first}\n  - {second}\n"
    if not is_refused:
        assert accepted(tmp_path, text)
        return
    lines = refusal(tmp_path, text)
    assert re.match(
        r"line.yaml:5: outputs\.1\.port: takes port \d+ on .*, and outputs\.0\.port "
        r"\(line\.yaml:4(, not given)?\) takes .*; give each a port of its own",
        lines[0],
    )


def test_the_health_page_on_the_port_of_an_output(tmp_path: Path) -> None:
    outputs = "outputs:\n  - {kind: opcua, host: 0.0.0.0, port: 9540}\n"
    (line,) = refusal(tmp_path, BASE + outputs + "health:\n  host: 127.0.0.1\n")
    assert line == (
        "line.yaml:5: health.port: takes port 9540 on 127.0.0.1, and outputs.0.port (line.yaml:4) "
        "takes port 9540 on 0.0.0.0; give each a port of its own"
    )
    assert accepted(tmp_path, BASE + outputs + "health: {port: 0}\n")


GPIO = """\
outputs:
  - kind: gpio
    chip: /dev/gpiochip0
    lines: {pass: A, reject: B}
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            GPIO + "encoder:\n  chip: /dev/gpiochip0\n  line: B\n",
            (
                r"line.yaml:6: outputs.0.lines.reject: takes the line B of /dev/gpiochip0, and "
                r"encoder.line \(line.yaml:9\) takes it too; give each a line of its own"
            ),
        ),
        (
            GPIO.replace("reject: B", "reject: A"),
            r"line.yaml:6: outputs.0.lines.reject: takes the line A .*outputs.0.lines.pass",
        ),
        (
            GPIO + GPIO.replace("outputs:\n", "").replace("A", "C"),
            r"line.yaml:9: outputs.1.lines.reject: takes the line B .*outputs.0.lines.reject",
        ),
        (
            FILE + "  - {kind: jsonlines, path: ./x/../a.jsonl}\n",
            r"line.yaml:5: outputs.1.path: takes x/../a.jsonl for verdicts, and outputs.0.path",
        ),
        (
            "outputs:\n  - {kind: jsonlines, path: '-'}\n  - {kind: jsonlines, path: '-'}\n",
            r"line.yaml:5: outputs.1.path: takes standard output, and outputs.0.path",
        ),
        (
            FILE.replace("a.jsonl", "records/images/a") + "records: {folder: records}\n",
            (
                r"line.yaml:4: outputs.0.path: takes records/images/a for verdicts, and "
                r"records.folder \(line.yaml:5\) takes records/images for images of records"
            ),
        ),
        (
            FILE + "control_socket: a.jsonl\n",
            r"line.yaml:4: outputs.0.path: takes a.jsonl for verdicts, and control_socket",
        ),
        (
            FILE
            + "  - {kind: gpio, chip: c, lines: {pass: A, reject: B, gate: C},\n"
            + "     gate: {travel_ms: 2000, register_file: a.jsonl}}\n",
            r"line.yaml:6: outputs.1.gate.register_file: takes a.jsonl for the gate, and outputs",
        ),
        (
            (
                "outputs:\n"
                "  - {kind: webhook, url: 'https://user:secret@mes/x'}\n"
                "  - {kind: webhook, url: 'https://user:secret@mes/x'}\n"
            ),
            (
                r"line.yaml:5: outputs.1.url: takes the outbox of this address, and outputs.0.url "
                r"\(line.yaml:4\) "
                r"takes it too; remove one, or give each a name$"
            ),
        ),
        (
            "outputs:\n" + MQTT_OUT + MQTT_OUT.replace("client_id: line3", "client_id: b"),
            r"line.yaml:5: outputs.1.topic: takes the topic 'hall/line3/verdict' at the broker",
        ),
    ],
)
def test_lines_files_and_addresses(tmp_path: Path, text: str, expected: str) -> None:
    found = refusal(tmp_path, BASE + text)
    assert re.match(expected, found[0]), found


def test_images_of_records_in_the_recording_that_is_inspected(tmp_path: Path) -> None:
    text = BASE.replace("path: parts", "path: records/images/*/*.png") + FILE
    (line,) = refusal(tmp_path, text + "records: {folder: records}\n")
    assert line.startswith("line.yaml:2: camera.path: takes records/images/*/*.png for a recording")
    assert accepted(tmp_path, text + "records: {folder: others}\n")


@pytest.mark.parametrize(
    ("first", "second", "key"),
    [
        ("{kind: pylon, serial: '7'}", "{kind: pylon, serial: 7}", "serial"),
        ("{kind: pylon, serial: '7'}", "{kind: pylon}", "serial"),
        ("{kind: aravis}", "{kind: aravis}", "camera"),
        ("{kind: harvesters, serial: A}", "{kind: harvesters, serial: A}", "serial"),
        ("{kind: opencv, device: 0}", "{kind: opencv, device: /dev/video0}", "device"),
        (
            "{kind: pyav, url: 'rtsp://u:secret@c/1'}",
            "{kind: pyav, url: 'rtsp://u:secret@c/1'}",
            "url",
        ),
        ("{kind: gstreamer, pipeline: a ! b}", "{kind: gstreamer, pipeline: a  ! b}", "pipeline"),
    ],
)
def test_one_camera_for_two_views(tmp_path: Path, first: str, second: str, key: str) -> None:
    views = f"bundle: b\nviews:\n  top:\n    camera: {first}\n  side:\n    camera: {second}\n"
    (line,) = refusal(tmp_path, views + FILE)
    assert re.match(
        rf"line.yaml:6: views\.side\.camera\.{key}: takes the (same|only) camera, and "
        rf"views\.top\.camera\.{key} \(line\.yaml:4(, not given)?\) takes .*; "
        r"give each view a camera of its own$",
        line,
    )
    assert "secret" not in line


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("{kind: pylon, serial: '7'}", "{kind: pylon, serial: '8'}"),
        ("{kind: opencv, device: 0}", "{kind: opencv, device: 1}"),
        ("{kind: replay, path: parts}", "{kind: replay, path: parts}"),
        ("{kind: pylon}", "{kind: aravis}"),
    ],
)
def test_two_cameras(tmp_path: Path, first: str, second: str) -> None:
    views = f"bundle: b\nviews: {{top: {{camera: {first}}}, side: {{camera: {second}}}}}\n"
    assert accepted(tmp_path, views + FILE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            FILE
            + "trigger: {kind: interval, period_ms: 5, frame_limit_ms: 300}\ndeadline_ms: 200\n",
            "line.yaml:5: trigger.frame_limit_ms: should not be above deadline_ms (line.yaml:6)",
        ),
        (
            "outputs:\n  - {kind: s7, host: p, db: 1, hold_ms: 9900, timeout_ms: 200}\n",
            (
                "line.yaml:4: outputs.0.timeout_ms: should not be above 10000 together with "
                "hold_ms: a thread that waits longer counts as hung"
            ),
        ),
        (
            FILE + "trigger: {kind: modbus, host: p, address: 1, timeout_ms: 10001}\n",
            (
                "line.yaml:5: trigger.timeout_ms: should not be above 10000: a thread that waits "
                "longer counts as hung"
            ),
        ),
        (
            FILE + "trigger: {kind: encoder, counts: 3}\n",
            "line.yaml:5: trigger.kind: 'encoder' needs encoder (not given)",
        ),
        (
            FILE + "recipe_request: {kind: mqtt, host: a, topic: ab, client_id: c}\n",
            "line.yaml:5: recipe_request: needs recipes (not given)",
        ),
        (
            GPIO.replace("B}", "B, gate: C}") + "    gate:\n      travel_counts: 20\n",
            "line.yaml:8: outputs.0.gate.travel_counts: needs encoder (not given)",
        ),
        (
            GPIO.replace("B}", "B, gate: C}")
            + "    gate:\n      travel_ms: 200\ndeadline_ms: 200\n",
            (
                "line.yaml:8: outputs.0.gate.travel_ms: should be above deadline_ms (line.yaml:9): "
                "a "
                "part would be at the gate before its verdict"
            ),
        ),
    ],
)
def test_a_setting_and_the_one_it_needs(tmp_path: Path, text: str, expected: str) -> None:
    assert refusal(tmp_path, BASE + text) == [expected]


S7_OUT = "outputs:\n  - {kind: s7, host: 10.0.0.9, db: 100, acknowledge_byte: 30}\n"
LOGIX_OUT = (
    "outputs:\n  - {kind: ethernet_ip, host: plc, tag: Line.Verdict, acknowledge_tag: Ack}\n"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            S7_OUT.replace("byte: 30", "byte: 29"),
            (
                "outputs.0.acknowledge_byte: takes bytes 29 to 30 of DB100 of 10.0.0.9:102, "
                "rack 0, slot 1, and outputs.0.start_byte (line.yaml:4, not given) takes bytes 0 "
                "to 29 of DB100 of 10.0.0.9:102, rack 0, slot 1; give each bytes of its own"
            ),
        ),
        (
            S7_OUT + "trigger: {kind: s7, host: 10.0.0.9, db: 100, byte: 31, bit: 3}\n",
            (
                "outputs.0.acknowledge_byte: takes bytes 30 to 31 of DB100 of 10.0.0.9:102, "
                "rack 0, slot 1, and trigger.byte (line.yaml:5) takes bit 31.3 of DB100"
            ),
        ),
        (
            S7_OUT
            + RECIPES
            + "recipe_request: {kind: s7, host: 10.0.0.9, db: 100, request_byte: 40, "
            "status_byte: 26}\n",
            (
                "outputs.0.start_byte: takes bytes 0 to 29 of DB100 of 10.0.0.9:102, rack 0, "
                "slot 1, and recipe_request.status_byte (line.yaml:7) takes bytes 26 to 31"
            ),
        ),
        (
            LOGIX_OUT + "trigger: {kind: ethernet_ip, host: plc, tag: 'line.verdict[3]'}\n",
            (
                "outputs.0.tag: takes the tag Line.Verdict (15 elements) of plc:44818, slot 0, and "
                "trigger.tag (line.yaml:5) takes the tag line.verdict[3] of plc:44818, slot 0; "
                "give each a tag of its own"
            ),
        ),
        (
            LOGIX_OUT + "trigger: {kind: ethernet_ip, host: plc, tag: Go, part_id_tag: line}\n",
            (
                "outputs.0.tag: takes the tag Line.Verdict (15 elements) of plc:44818, slot 0, and "
                "trigger.part_id_tag (line.yaml:5) takes the tag line of"
            ),
        ),
    ],
)
def test_places_in_a_controller_have_one_user(tmp_path: Path, text: str, expected: str) -> None:
    lines = refusal(tmp_path, BASE + text)
    assert any(expected in line for line in lines), lines


def test_places_beside_each_other_are_accepted(tmp_path: Path) -> None:
    trigger = "trigger: {kind: s7, host: 10.0.0.9, db: 100, byte: 32, bit: 0, part_id_byte: 34}\n"
    assert accepted(tmp_path, BASE + S7_OUT + trigger)
    tags = LOGIX_OUT.replace("tag: Ack", "tag: 'Line.Verdict[15]'")
    trigger = "trigger: {kind: ethernet_ip, host: plc, tag: 'Line.Verdict2[3].Go'}\n"
    assert accepted(tmp_path, BASE + tags + trigger)


@pytest.mark.parametrize("tag", ["1st", "Line.", "Line[a]", "Line.3", "A" * 41, "Line Verdict"])
def test_a_tag_that_no_controller_has_is_refused(tmp_path: Path, tag: str) -> None:
    (line,) = refusal(tmp_path, BASE + LOGIX_OUT.replace("Ack", f"'{tag}'"))
    assert "acknowledge_tag" in line


def _with_trigger(source: str, trigger: str) -> str:
    camera = f"camera: {{kind: pylon, settings: {{trigger: {{source: {source}}}}}}}\n"
    return f"bundle: b\n{camera}trigger: {trigger}\n{FILE}"


def test_a_camera_that_its_own_input_exposes_announces_its_parts_itself(tmp_path: Path) -> None:
    modbus = "{kind: modbus, host: plc, address: 3}"
    (line,) = refusal(tmp_path, _with_trigger("Line1", modbus))
    assert line == (
        "line.yaml:2: camera.settings.trigger.source: should be Software, or trigger.kind "
        "(line.yaml:3) should be camera: a camera that its own input exposes may do so before the "
        "station knows of the part, which would get the frame of the next one"
    )
    assert accepted(tmp_path, _with_trigger("Software", modbus))
    assert accepted(tmp_path, _with_trigger("Line1", "{kind: camera}"))


def test_a_camera_that_its_own_input_exposes_shows_no_empty_line(tmp_path: Path) -> None:
    (line,) = refusal(tmp_path, _with_trigger("Line1", "{kind: presence}"))
    assert line == (
        "line.yaml:2: camera.settings.trigger.source: should be left out with its section, or "
        "trigger.kind (line.yaml:3) should be camera: a camera that its own input exposes never "
        "shows the empty line"
    )


@pytest.mark.parametrize(
    ("camera", "place"),
    [
        ("camera: {kind: opencv, width: 640}\n", "camera.width"),
        ("camera: {kind: pylon, settings: {width: 640}}\n", "camera.settings.width"),
        ("views: {top: {camera: {kind: opencv, width: 640}}}\n", "views.top.camera.width"),
    ],
)
def test_a_region_beyond_the_frame_of_the_camera(tmp_path: Path, camera: str, place: str) -> None:
    region = "trigger: {kind: presence, region: {top: 0, left: 600, height: 480, width: 41}}\n"
    text = "bundle: b\n" + camera + region + FILE
    (line,) = refusal(tmp_path, text)
    assert line == (
        f"line.yaml:3: trigger.region: reaches to pixel 641, beyond {place} (line.yaml:2)"
    )
    assert accepted(tmp_path, text.replace("41}", "40}"))
