"""The dashboard and the alert rules name metrics that a line has, with the labels of these."""

import json
import re
import shutil
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from edge.drift.monitor import DriftAlarm
from edge.pipeline.status import OutputStatus, PipelineStatus
from edge.recipe.changeover import RecipeStatus
from edge.service.metrics import Metrics
from edge.station.status import StationStatus
from edge.store.station_records import RecordsStatus
from tests.conftest import IDENTITY

FOLDER = Path(__file__).parents[2] / "configs/monitoring"
RULES = FOLDER / "prometheus-rules.yaml"
DASHBOARD = FOLDER / "grafana-dashboard.json"
SERIES = re.compile(r"\b((?:linewarden|process)_[a-z_]+)\b(?:\{([^}]*)\})?")
SCRAPING = FOLDER / "prometheus.yml"
LABELS_OF_PROMETHEUS = {"job", "station"}


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The labels of each series of a line with all features, by the name of the series."""
    root = tmp_path_factory.mktemp("kernel")
    zone = root / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("cpu-thermal\n")
    (zone / "temp").write_text("51000\n")
    counters = root / "sys/devices/system/cpu/cpu0/thermal_throttle"
    counters.mkdir(parents=True)
    (counters / "package_throttle_count").write_text("3\n")
    since = datetime(2026, 1, 1, tzinfo=timezone.utc)
    drift = DriftAlarm("light", "mean", "cusum", -1, 90.0, 60.0, "a-1", "a-2", since)
    status = StationStatus(
        pipeline=PipelineStatus(True, (), (), {"mqtt": OutputStatus(is_up=True)}, 1, 0, 0, 0, 0, 0),
        recipe=RecipeStatus(1),
        identities={"main": IDENTITY},
        drift={"main": (drift,)},
        records=RecordsStatus(None, 0, 0, {"mqtt": 0}, {"mqtt": True}),
    )
    metrics = Metrics(root)
    metrics.watch(lambda: status)
    page = metrics.exposition().decode()
    return {
        sample.name: set(sample.labels)
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def expressions() -> list[tuple[str, str]]:
    """Each expression with the text that its series fill in."""
    rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    panels = json.loads(DASHBOARD.read_text())["panels"]
    found = [(rule["expr"], rule["annotations"]["summary"]) for rule in rules]
    found += [(one["expr"], one["legendFormat"]) for panel in panels for one in panel["targets"]]
    return found


@pytest.mark.parametrize(("expression", "text"), expressions())
def test_an_expression_has_series_and_labels_of_a_line(
    expression: str, text: str, labels: dict[str, set[str]]
) -> None:
    series = SERIES.findall(expression)
    assert series or expression == 'up{job="linewarden"} == 0'
    has = set(LABELS_OF_PROMETHEUS)
    for name, chosen in series:
        assert name in labels
        has |= labels[name]
        assert set(re.findall(r"(\w+)(?:=~|=)", chosen)) <= has
    for by in re.findall(r"by \(([^)]*)\)", expression):
        assert {label.strip() for label in by.split(",")} <= has
    assert set(re.findall(r"\{\{ ?(?:\$labels\.)?(\w+) ?\}\}", text)) <= has


def test_every_target_has_a_station_of_its_own() -> None:
    (job,) = yaml.safe_load(SCRAPING.read_text())["scrape_configs"]
    stations = [one["labels"]["station"] for one in job["static_configs"]]
    assert len(stations) == len(set(stations)) >= 2
    assert all(len(one["targets"]) == 1 for one in job["static_configs"])
    dashboard: dict[str, Any] = json.loads(DASHBOARD.read_text())
    queries = {one["name"]: one["query"] for one in dashboard["templating"]["list"]}
    # Of `up`, so that a station that does not answer is in the list too.
    assert queries["station"] == f'label_values(up{{job="{job["job_name"]}"}}, station)'


def test_each_panel_is_of_the_chosen_stations() -> None:
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            series = re.findall(r"\b(?:linewarden|process)_\w+|\bup\b", target["expr"])
            assert target["expr"].count('station=~"$station"') == len(series)
            assert "{{station}}" in target["legendFormat"]
            assert all(
                by.startswith("station") for by in re.findall(r"by \((.*?)\)", target["expr"])
            )


def test_no_panel_covers_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        rows, columns = range(place["y"], place["y"] + place["h"]), range(place["w"])
        cells = {(row, place["x"] + column) for row in rows for column in columns}
        assert not cells & taken
        taken |= cells


needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="needs promtool (apt install prometheus)"
)


def promtool(*words: str | Path) -> None:
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_prometheus_takes_the_rules() -> None:
    promtool("check", "config", SCRAPING)


@needs_promtool
def test_prometheus_takes_the_expressions_of_the_dashboard(tmp_path: Path) -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    # Grafana puts a regular expression in the place of its variable.
    found = [one["expr"].replace("$station", "a|b") for panel in panels for one in panel["targets"]]
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(found)]
    path = tmp_path / "panels.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", path)


STANDS, COMES = "1x80", "0x60 1x20"  # every 5 s
# What a station shows when an alert is due: series, labels, values.
TROUBLE = [
    ("LineIsSilent", "up", {}, "0x80"),
    ("LineDoesNotInspect", "linewarden_inspecting", {}, "0x80"),
    ("PartsWithoutVerdict", "linewarden_no_verdicts_total", {"cause": "camera"}, COMES),
    ("OutputIsDown", "linewarden_output_up", {"output": "modbus"}, "0x80"),
    ("VerdictsWait", "linewarden_outbox_up", {"output": "mqtt"}, "0x80"),
    ("VerdictsTooLate", "linewarden_late_verdicts_total", {"output": "modbus"}, COMES),
    ("FloodOfTriggers", "linewarden_refused_triggers_total", {}, COMES),
    ("ManyRejects", "linewarden_reject_alarm", {"kind": "share"}, STANDS),
    ("PictureDrifts", "linewarden_drift_alarm", {"view": "main", "moved": "light"}, STANDS),
    ("ChangeoverFailed", "linewarden_changeovers_failed_total", {}, COMES),
    ("RecordsFail", "linewarden_records_failing", {}, STANDS),
    ("RecordsFail", "linewarden_records_lost_total", {}, COMES),
    ("RecordsSetAside", "linewarden_records_set_aside", {}, STANDS),
    ("ExpiryHeld", "linewarden_expiry_held", {}, STANDS),
    ("DeviceThrottles", "linewarden_device_throttle_events_total", {"part": "cpu"}, COMES),
]


def alerts() -> dict[str, Any]:
    """The alert rules, by name."""
    return {one["alert"]: one for one in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]}


def hold(folder: Path, cases: list[tuple[list[dict[str, str]], str, dict[str, Any]]]) -> None:
    """Has promtool compare the alerts of each case: series, the one that fires, and how."""
    tests = [
        {
            "interval": "5s",
            "input_series": series,
            "alert_rule_test": [
                {"eval_time": "6m", "alertname": one, "exp_alerts": [fired] if one == due else []}
                for one in alerts()
            ],
        }
        for series, due, fired in cases
    ]
    path = folder / "test.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "tests": tests}))
    promtool("test", "rules", path)


@needs_promtool
def test_each_alert_fires_for_its_trouble_alone_and_names_the_station(tmp_path: Path) -> None:
    assert {alert for alert, *_ in TROUBLE} == set(alerts())
    cases = []
    for due, name, own, values in TROUBLE:
        rule = alerts()[due]
        labels = {"job": "linewarden", "instance": "b:9540", "station": "b", **own}
        summary = rule["annotations"]["summary"]
        for label, value in labels.items():
            summary = summary.replace(f"{{{{ $labels.{label} }}}}", value)
        fired = {"exp_labels": labels | rule["labels"], "exp_annotations": {"summary": summary}}
        chosen = ",".join(f'{label}="{value}"' for label, value in labels.items())
        cases.append(([{"series": f"{name}{{{chosen}}}", "values": values}], due, fired))
    hold(tmp_path, cases)


@needs_promtool
def test_a_healthy_station_raises_no_alert(tmp_path: Path) -> None:
    up = {"up", "linewarden_inspecting", "linewarden_output_up", "linewarden_outbox_up"}
    series = [
        {"series": f'{name}{{station="b"}}', "values": "1x80" if name in up else "0x80"}
        for _, name, _, _ in TROUBLE
    ]
    hold(tmp_path, [(series, "", {})])
