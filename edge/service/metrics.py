"""The Prometheus metrics of one line: counters, histograms and gauges, in base units."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from edge.part.record import InspectionRecord
from edge.pipeline.status import PipelineStatus
from edge.recipe.changeover import RecipeStatus
from edge.service.telemetry import QUANTITIES, read_device
from edge.station.status import StationStatus
from edge.store.station_records import RecordsStatus
from inspection.verdict import Cause, Verdict

# From a small graph on a GPU to a large one on a CPU; deadlines lie between 20 ms and a second.
_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 5)


class Metrics:
    """The metrics of one line in one registry.

    Args:
        root: folder of the kernel's files sys/ and proc/.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        disable_created_metrics()  # they double the page
        self._registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self._registry)
        self._registry.register(_DeviceCollector(root))
        self._parts = self._counter("parts", "Parts by verdict.", "verdict", Verdict)
        self._causes = self._counter("no_verdicts", "Parts without a verdict.", "cause", Cause)
        self._latency = self._histogram("latency", "From the frame to the verdict at the outputs.")
        self._stages = {
            stage: self._histogram(stage, f"Time of the stage {stage}.")
            for stage in ("preprocess", "infer", "decide")
        }
        self._last_part = Gauge(
            "linewarden_last_part_timestamp_seconds",
            "Time of the last trigger, in seconds since 1970.",
            registry=self._registry,
        )

    def observe(self, record: InspectionRecord) -> None:
        """Counts one part."""
        self._parts.labels(record.verdict.value).inc()
        if record.cause is not None:
            self._causes.labels(record.cause.value).inc()
        self._last_part.set(record.triggered_utc.timestamp())
        if record.source is not None:
            self._latency.observe(record.latency_ms.total / 1e3)
        for stage, histogram in self._stages.items():
            if (milliseconds := getattr(record.latency_ms, stage)) is not None:
                histogram.observe(milliseconds / 1e3)

    def watch(self, status: Callable[[], StationStatus]) -> None:
        """Reads the status of the line at every scrape. Call it once."""
        self._registry.register(_IdentityCollector(status))
        self._registry.register(_StationCollector(status))

    def exposition(self) -> bytes:
        """Returns all metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def _counter(
        self, name: str, what: str, label: str, kinds: Iterable[Verdict | Cause]
    ) -> Counter:
        counter = Counter(f"linewarden_{name}", what, [label], registry=self._registry)
        for kind in kinds:
            counter.labels(kind.value)  # present from the start, as 0
        return counter

    def _histogram(self, name: str, what: str) -> Histogram:
        return Histogram(
            f"linewarden_{name}_seconds", what, buckets=_BUCKETS_S, registry=self._registry
        )


class _IdentityCollector(Collector):
    def __init__(self, status: Callable[[], StationStatus]) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        info = InfoMetricFamily(
            "linewarden", "Recipe, artefact and calibration behind the verdicts.", labels=["view"]
        )
        for view, identity in self._status().identities.items():
            values = {
                "version": version("linewarden"),
                "recipe": identity.recipe,
                "artefact_sha256": identity.artefact_sha256,
                "calibration_seal": identity.calibration_seal,
            }
            info.add_metric([view], values)
        yield info


class _StationCollector(Collector):
    def __init__(self, status: Callable[[], StationStatus]) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        status = self._status()
        yield from _pipeline_metrics(status.pipeline)
        yield from _output_metrics(status.pipeline)
        yield from _recipe_metrics(status.recipe)
        yield from _alarms_metrics(status)
        if status.records is not None:
            yield from _records_metrics(status.records)


def _pipeline_metrics(status: PipelineStatus) -> Iterator[Metric]:
    for name, what, count in (
        ("late_results", "Results after their deadline.", status.late_results),
        ("refused_triggers", "Triggers of a flood, which were no parts.", status.refused_triggers),
        ("images_dropped", "Parts whose images were dropped.", status.images_dropped),
        ("images_failed", "Parts whose images could not be written.", status.images_failed),
    ):
        yield CounterMetricFamily(f"linewarden_{name}", what, value=count)
    inspecting = float(status.is_inspecting)
    yield GaugeMetricFamily("linewarden_inspecting", "1 while the line takes parts.", inspecting)


def _output_metrics(status: PipelineStatus) -> Iterator[Metric]:
    up = GaugeMetricFamily("linewarden_output_up", "1 while the output works.", labels=["output"])
    what = "Verdicts in the queue of the output."
    waiting = GaugeMetricFamily("linewarden_output_waiting", what, labels=["output"])
    what = "Verdicts that came to the output too late; it was told NO_VERDICT."
    late = CounterMetricFamily("linewarden_late_verdicts", what, labels=["output"])
    what = "Verdicts that the output did not accept."
    undelivered = CounterMetricFamily("linewarden_undelivered", what, labels=["output"])
    for name, output in status.outputs.items():
        up.add_metric([name], float(output.is_up))
        waiting.add_metric([name], output.waiting)
        late.add_metric([name], output.late)
        undelivered.add_metric([name], output.undelivered)
    yield from (up, waiting, late, undelivered)


def _recipe_metrics(status: RecipeStatus) -> Iterator[Metric]:
    if status.active is None:
        return
    yield GaugeMetricFamily("linewarden_recipe", "Number of the active recipe.", status.active)
    for name, what, count in (
        ("changeovers", "Changeovers to another recipe.", status.changed),
        ("changeovers_failed", "Requested recipes that did not load.", status.failed),
    ):
        yield CounterMetricFamily(f"linewarden_{name}", what, value=count)


def _alarms_metrics(status: StationStatus) -> Iterator[Metric]:
    what = "1 while too many parts do not pass: in a row, or as a share of the last parts."
    rejects = GaugeMetricFamily("linewarden_reject_alarm", what, labels=["kind"])
    for kind in ("in_a_row", "share"):
        rejects.add_metric([kind], float(kind in status.rejects))
    yield rejects
    what = "1 while a figure differs from the good parts; absent otherwise."
    drift = GaugeMetricFamily("linewarden_drift_alarm", what, labels=["view", "moved", "figure"])
    for view, alarms in status.drift.items():
        for alarm in alarms:
            drift.add_metric([view, alarm.moved, alarm.channel], 1.0)
    yield drift


def _records_metrics(status: RecordsStatus) -> Iterator[Metric]:
    failing = float(status.failure is not None)
    yield GaugeMetricFamily(
        "linewarden_records_failing", "1 while no record can be written.", failing
    )
    what = "Records in memory that are not written yet."
    yield GaugeMetricFamily("linewarden_records_backlog", what, status.backlog)
    yield CounterMetricFamily(
        "linewarden_records_lost", "Records that were dropped.", value=status.lost
    )
    what = "Damaged databases of records that were set aside."
    yield GaugeMetricFamily("linewarden_records_set_aside", what, len(status.set_aside))
    what = "1 while much is going to expire by a jump of the clock."
    held = float(status.notice is not None)
    yield GaugeMetricFamily("linewarden_expiry_held", what, held)
    what = "Verdicts that are not sent yet."
    waiting = GaugeMetricFamily("linewarden_outbox_waiting", what, labels=["output"])
    for name, count in status.outboxes.items():
        waiting.add_metric([name], count)
    yield waiting
    what = "1 while the receiver behind the outbox works."
    up = GaugeMetricFamily("linewarden_outbox_up", what, labels=["output"])
    for name, is_up in status.outboxes_up.items():
        up.add_metric([name], float(is_up))
    yield up


class _DeviceCollector(Collector):
    def __init__(self, root: Path) -> None:
        self._root = root

    def collect(self) -> Iterator[Metric]:
        families = {
            quantity: (CounterMetricFamily if quantity.endswith("events") else GaugeMetricFamily)(
                f"linewarden_device_{quantity}", what, labels=["part"]
            )
            for quantity, what in QUANTITIES.items()
        }
        for quantity, part, value in read_device(self._root):
            families[quantity].add_metric([part], value)
        yield from families.values()
