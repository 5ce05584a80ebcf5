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


def test_prometheus_takes_the_rules() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool (apt install prometheus)")
    subprocess.run([promtool, "check", "config", str(SCRAPING)], check=True, capture_output=True)


def test_an_alert_names_the_station_that_it_is_of(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool (apt install prometheus)")
    labels = 'job="linewarden",instance="{0}:9540",station="{0}"'
    series = [(f"up{{{labels.format(name)}}}", up) for name, up in {"a": 1, "b": 0}.items()]
    series += [(f"linewarden_inspecting{{{labels.format(name)}}}", 1) for name in ("a", "c")]
    expected = "b does not answer: is the device on, and the service running?"
    alert = {"severity": "critical", "job": "linewarden", "instance": "b:9540", "station": "b"}
    case = {
        "interval": "5s",
        "input_series": [{"series": one, "values": f"{value}x20"} for one, value in series],
        "alert_rule_test": [
            {
                "eval_time": "1m",
                "alertname": "LineIsSilent",
                "exp_alerts": [{"exp_labels": alert, "exp_annotations": {"summary": expected}}],
            },
            {"eval_time": "1m", "alertname": "LineDoesNotInspect", "exp_alerts": []},
        ],
    }
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "tests": [case]}))
    done = subprocess.run(
        [promtool, "test", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
