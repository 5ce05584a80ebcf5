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
LABELS_OF_PROMETHEUS = {"instance", "job"}


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


def test_the_variable_of_the_dashboard_lists_the_lines(labels: dict[str, set[str]]) -> None:
    dashboard: dict[str, Any] = json.loads(DASHBOARD.read_text())
    queries = {one["name"]: one["query"] for one in dashboard["templating"]["list"]}
    assert queries["station"] == "label_values(linewarden_inspecting, instance)"
    assert "linewarden_inspecting" in labels


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
    subprocess.run([promtool, "check", "rules", str(RULES)], check=True, capture_output=True)
