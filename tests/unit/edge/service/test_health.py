"""The health page, asked over HTTP."""

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge.drift.monitor import DriftAlarm
from edge.peers.connections import ConnectionLimits
from edge.pipeline.status import OutputStatus, PipelineStatus
from edge.recipe.changeover import RecipeStatus
from edge.recipe.part_check import CheckStatus
from edge.service.health import HealthPage
from edge.service.metrics import Metrics
from edge.station.alarm import RejectAlarm
from edge.station.status import StationStatus
from edge.store.station_records import RecordsStatus
from inspection.errors import ConfigError
from inspection.verdict import Cause, Verdict
from tests.conftest import IDENTITY, MakeRecord
from tests.doubles.waiting import wait_for

UTC = datetime(2026, 1, 1, tzinfo=timezone.utc)
LIMITS = ConnectionLimits(max=8, idle_s=10.0)
OUTPUTS = {
    "modbus": OutputStatus(is_up=True, waiting=1, late=2),
    "mqtt": OutputStatus(is_up=True, undelivered=3),
}
MQTT_IS_DOWN = {**OUTPUTS, "mqtt": OutputStatus(is_up=False, why="no broker")}
WELL = PipelineStatus(True, (), (), OUTPUTS, 12, 1, 3, 6, 4, 5)


class Line:
    """A line whose status a test sets."""

    def __init__(self, limits: ConnectionLimits = LIMITS) -> None:
        self.status = WELL
        self.beside: dict[str, Any] = {}
        self.health = HealthPage(
            host="127.0.0.1",
            port=0,
            limits=limits,
        )
        self.port = 0

    @property
    def station(self) -> StationStatus:
        return StationStatus(
            **{
                "pipeline": self.status,
                "recipe": RecipeStatus(None),
                "identities": {"main": IDENTITY},
                **self.beside,
            }
        )

    def get(self, path: str, timeout_s: float = 30.0) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=timeout_s) as page:
                return page.status, page.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def samples(self) -> dict[str, float]:
        status, text = self.get("/metrics")
        assert status == 200
        return {
            " ".join([sample.name, *sample.labels.values()]): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    with line.health.serving(lambda: line.station) as line.port:
        yield line


@pytest.mark.parametrize(
    ("change", "healthz", "readyz"),
    [
        ({}, 200, 200),
        ({"faults": ("view main: the camera is lost",)}, 200, 503),
        ({"outputs": MQTT_IS_DOWN}, 200, 503),
        ({"stalled": ("inspection",)}, 503, 503),
    ],
)
def test_health_and_readiness(
    line: Line, change: dict[str, object], healthz: int, readyz: int
) -> None:
    line.status = replace(WELL, **change)  # type: ignore[arg-type]
    assert (line.get("/healthz")[0], line.get("/readyz")[0]) == (healthz, readyz)


def test_the_answer_says_why(line: Line) -> None:
    line.status = replace(WELL, outputs=MQTT_IS_DOWN, stalled=("camera",))
    assert json.loads(line.get("/readyz")[1]) == {
        "faults": [],
        "stalled": ["camera"],
        "outputs": {
            "modbus": {"is_up": True, "why": "", "waiting": 1, "late": 2, "undelivered": 0},
            "mqtt": {
                "is_up": False,
                "why": "no broker",
                "waiting": 0,
                "late": 0,
                "undelivered": 0,
            },
        },
        "parts": 12,
        "no_verdicts": 1,
        "recipe": json.loads(json.dumps(asdict(RecipeStatus(None)))),
        "check": None,
        "alarms": [],
        "records": None,
        "identities": {"main": json.loads(json.dumps(asdict(IDENTITY)))},
        "pipeline": json.loads(json.dumps(asdict(line.status))),
    }


def test_alarms_records_and_recipe_are_shown_and_leave_the_line_ready(line: Line) -> None:
    drift = DriftAlarm("light", "mean", "cusum", -1, 90.0, 60.0, "a-000003", "a-000007", UTC)
    reject = RejectAlarm("in_a_row", True, "5 parts in a row did not pass", "a-000007")
    line.beside = {
        "recipe": RecipeStatus(2, None, "recipe 3 was not loaded", 4, 1),
        "check": CheckStatus(None, 3, 1),
        "rejects": {"in_a_row": reject},
        "drift": {"main": (drift,), "side": ()},
        "records": RecordsStatus("disk full", 17, 2, {"mqtt plant": 5}, {"mqtt plant": False}),
    }
    line.beside["records"] = replace(
        line.beside["records"], set_aside=("a.sqlite", "b.sqlite"), notice="the clock is ahead"
    )
    status, text = line.get("/readyz")
    said = json.loads(text)
    assert status == 200
    assert said["recipe"]["active"] == 2
    assert said["check"] == {"due": None, "passed": 3, "failed": 1}
    assert said["alarms"][:2] == ["5 parts in a row did not pass", f"view main: {drift}"]
    assert [text.partition(" is ")[0] for text in said["alarms"][2:]] == [
        "a.sqlite",
        "b.sqlite",
        "the clock",
    ]
    assert said["records"]["set_aside"] == ["a.sqlite", "b.sqlite"]
    assert said["records"]["outboxes"] == {"mqtt plant": 5}
    assert said["records"]["outboxes_up"] == {"mqtt plant": False}
    found = line.samples()
    assert found["linewarden_recipe"] == 2
    assert found["linewarden_changeovers_total"] == 4
    assert found["linewarden_changeovers_failed_total"] == 1
    assert found["linewarden_reject_alarm in_a_row"] == 1
    assert found["linewarden_reject_alarm share"] == 0
    assert {name for name in found if "drift_alarm" in name} == {
        "linewarden_drift_alarm mean light main"
    }
    assert found["linewarden_records_failing"] == 1
    assert found["linewarden_records_set_aside"] == 2
    assert found["linewarden_expiry_held"] == 1
    assert found["linewarden_records_backlog"] == 17
    assert found["linewarden_records_lost_total"] == 2
    assert found["linewarden_outbox_waiting mqtt plant"] == 5
    assert found["linewarden_outbox_up mqtt plant"] == 0


def test_absent_features_of_a_line_have_no_metric(line: Line) -> None:
    names = " ".join(line.samples())
    for absent in ("linewarden_recipe", "linewarden_records", "linewarden_drift"):
        assert absent not in names


def test_parts_are_counted(line: Line, make_record: MakeRecord) -> None:
    for number, verdict in enumerate([Verdict.PASS, Verdict.REJECT, Verdict.REJECT], start=1):
        record = make_record(number, verdict)
        line.health.observe(record)
    found = line.samples()
    assert found["linewarden_parts_total REJECT"] == 2
    assert found["linewarden_parts_total PASS"] == 1
    assert found["linewarden_parts_total REVIEW"] == 0
    assert found["linewarden_latency_seconds_count"] == 3
    assert found["linewarden_latency_seconds_sum"] == pytest.approx(3 * 0.0125)
    assert found["linewarden_latency_seconds_bucket 0.01"] == 0
    assert found["linewarden_latency_seconds_bucket 0.02"] == 3
    assert found["linewarden_infer_seconds_sum"] == pytest.approx(3 * 0.009)
    moment = record.triggered_utc.timestamp()
    assert found["linewarden_last_part_timestamp_seconds"] == moment
    assert not any(name.endswith("_created") for name in found)


def test_parts_without_a_verdict_or_a_frame_are_counted(
    line: Line, make_record: MakeRecord
) -> None:
    lost = {"verdict": Verdict.NO_VERDICT, "cause": Cause.CAMERA, "source": None}
    line.health.observe(make_record(1).model_copy(update=lost))
    found = line.samples()
    assert found["linewarden_no_verdicts_total camera"] == 1
    assert found["linewarden_latency_seconds_count"] == 0


def test_the_identity_of_the_verdicts_is_shown(line: Line) -> None:
    (name,) = [name for name in line.samples() if name.startswith("linewarden_info ")]
    assert name.split()[1:] == [
        IDENTITY.artefact_sha256,
        IDENTITY.calibration_seal,
        IDENTITY.recipe,
        version("linewarden"),
        "main",
    ]


def test_only_events_of_the_device_are_counters(tmp_path: Path) -> None:
    for name, text in (
        ("sys/class/thermal/thermal_zone0/temp", "61500"),
        ("sys/class/hwmon/hwmon4/oc1_event_cnt", "2"),
    ):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    page = Metrics(tmp_path).exposition().decode()
    kinds = {family.name: family.type for family in text_string_to_metric_families(page)}
    assert kinds["linewarden_device_throttle_events"] == "counter"
    assert kinds["linewarden_device_temperature_celsius"] == "gauge"


def test_the_pipeline_and_the_process_are_asked_at_each_scrape(line: Line) -> None:
    found = line.samples()
    assert found["linewarden_inspecting"] == 1
    assert found["linewarden_output_up mqtt"] == 1
    assert found["linewarden_output_waiting modbus"] == 1
    assert found["linewarden_late_verdicts_total modbus"] == 2
    assert found["linewarden_undelivered_total mqtt"] == 3
    assert found["linewarden_late_results_total"] == 3
    assert found["linewarden_refused_triggers_total"] == 6
    assert found["linewarden_images_dropped_total"] == 4
    assert found["linewarden_images_failed_total"] == 5
    assert found["process_resident_memory_bytes"] > 0
    line.status = replace(WELL, faults=("it stops",), outputs=MQTT_IS_DOWN)
    found = line.samples()
    assert (found["linewarden_inspecting"], found["linewarden_output_up mqtt"]) == (0, 0)


def test_other_pages_are_not_there(line: Line) -> None:
    assert line.get("/")[0] == 404


def test_a_client_that_says_nothing_holds_up_nobody(line: Line) -> None:
    with socket.create_connection(("127.0.0.1", line.port)):
        assert line.get("/healthz", timeout_s=LIMITS.idle_s / 2)[0] == 200


def test_a_client_that_says_nothing_is_cut_off() -> None:
    line = Line(ConnectionLimits(idle_s=0.1))
    with (
        line.health.serving(lambda: line.station) as port,
        socket.create_connection(("127.0.0.1", port), timeout=30) as client,
    ):
        assert client.recv(1) == b""


def test_silent_clients_leave_room_for_a_scrape(line: Line) -> None:
    with ExitStack() as stack:
        for _ in range(3 * LIMITS.max):
            stack.enter_context(socket.create_connection(("127.0.0.1", line.port)))
        assert line.get("/healthz")[0] == 200


def test_a_client_that_drips_has_no_more_time_than_others() -> None:
    line = Line(ConnectionLimits(idle_s=0.5))
    with (
        line.health.serving(lambda: line.station) as line.port,
        socket.create_connection(("127.0.0.1", line.port), timeout=30) as client,
    ):
        client.sendall(b"GET /healthz HTTP/1.1\r\n")

        def is_cut() -> bool:
            assert line.get("/healthz")[0] == 200
            try:
                client.sendall(b"a: b\r\n")
            except OSError:
                return True
            return False

        wait_for(is_cut, 30.0)


def raw(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(request)
        with client.makefile("rb") as answer:
            return answer.readline()


def test_a_long_head_is_refused(line: Line) -> None:
    head = b"GET /healthz HTTP/1.1\r\n"
    assert raw(line.port, head + b"a: %s\r\n\r\n" % (b"b" * 8000)).startswith(b"HTTP/1.0 200")
    assert raw(line.port, head + b"a: %s\r\n" % (b"b" * 8200) * 2).startswith(b"HTTP/1.0 431")


def test_a_client_that_is_gone_leaves_nothing_on_standard_error(
    line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", line.port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
    assert line.get("/healthz")[0] == 200
    assert "Traceback" not in capsys.readouterr().err


def test_a_query_behind_the_path_is_passed_over(line: Line) -> None:
    assert line.get("/healthz?verbose=1")[0] == 200


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        health = HealthPage(host="127.0.0.1", port=port)
        with (
            pytest.raises(ConfigError, match=f"health: cannot listen on 127.0.0.1:{port} "),
            health.serving(lambda: StationStatus(WELL, RecipeStatus(None))),
        ):
            pass
