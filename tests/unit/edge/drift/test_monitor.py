"""The drift monitor raises each alarm once, names what moved with numbers, and clears it."""

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from statistics import NormalDist

import numpy as np
import pytest

from calibration.drift import baseline_from
from edge.drift.monitor import DriftAlarm, DriftMonitor, DriftWatch
from edge.part.result import Settled
from inspection.drift.baseline import Baseline
from inspection.drift.charts import MOVED
from inspection.drift.frame_figures import frame_figures, reference_from
from inspection.images import encode_png
from inspection.inspector import no_verdict
from inspection.preprocess import Crop
from inspection.verdict import Cause
from tests.doubles.pipelines import IDENTITY

MakeSettled = Callable[..., Settled]
NOW = datetime(2026, 11, 21, tzinfo=timezone.utc)
GENEROUS_S = 30.0


def figures(random: np.random.Generator, **moved: float) -> dict[str, float]:
    """Standard normal figures of one part; those named are shifted."""
    return {name: random.normal(moved.get(name, 0.0), 1) for name in MOVED}


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    normal = [NormalDist().inv_cdf((place + 0.5) / 200) for place in range(200)]
    return baseline_from(dict.fromkeys(MOVED, normal))


def watch(monitor: DriftMonitor, random: np.random.Generator, parts: int, **moved: float) -> None:
    first = monitor.parts + 1
    for number in range(first, first + parts):
        monitor.add(figures(random, **moved), f"run-{number:06d}", NOW)


def test_an_alarm_is_raised_once_with_its_numbers_and_clears(
    baseline: Baseline, caplog: pytest.LogCaptureFixture
) -> None:
    changes: list[DriftAlarm] = []
    monitor, random = DriftMonitor(baseline, on_change=changes.append), np.random.default_rng(2)
    watch(monitor, random, 300)
    assert (monitor.moved, changes) == (None, [])
    watch(monitor, random, 400, brightness=-2.0)
    (alarm,) = monitor.standing
    drift, other = DriftWatch(), replace(IDENTITY, recipe="other")
    drift.add("main", IDENTITY, monitor)
    assert drift.standing({"main": IDENTITY}) == {"main": (alarm,)}
    assert drift.standing({"main": other}) == {}
    assert changes == [alarm]
    assert (alarm.moved, alarm.channel, alarm.direction) == ("light", "brightness", -1)
    assert alarm.baseline == pytest.approx(0, abs=0.2)
    assert alarm.now == pytest.approx(-2, abs=0.8)
    assert 290 <= int(alarm.since[-6:]) <= 305
    assert 300 < int(alarm.trigger_id[-6:]) < 320
    assert monitor.moved == "light"
    watch(monitor, random, 300)
    assert not monitor.standing
    assert [change.cleared_utc for change in changes] == [None, NOW]
    messages = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert messages[0].startswith("drift: light moved: brightness fell, from ")
    assert messages[1:] == ["drift: the light is back: brightness is like on good parts"]


def test_the_charts_of_recipes_long_out_of_force_are_forgotten(baseline: Baseline) -> None:
    drift = DriftWatch(kept=2)
    names = ["a", "b", "a", "c", "d"]
    for name in names:
        drift.add("main", replace(IDENTITY, recipe=name), DriftMonitor(baseline))
        assert drift.standing({"main": replace(IDENTITY, recipe=name)}) == {"main": ()}
    assert [report.recipe for report in drift.reports()] == ["c", "d"]
    drift.add("main", replace(IDENTITY, recipe="c"), DriftMonitor(baseline))
    drift.add("main", replace(IDENTITY, recipe="e"), DriftMonitor(baseline))
    assert [report.recipe for report in drift.reports()] == ["c", "e"]


def test_an_alarm_stands_while_the_line_stays_away(baseline: Baseline) -> None:
    monitor, random = DriftMonitor(baseline), np.random.default_rng(3)
    watch(monitor, random, 3000, sharpness=-1.0)
    assert [alarm.channel for alarm in monitor.standing] == ["sharpness"]
    assert len(monitor.report("main", "default").alarms) == 1


def test_the_cause_is_named_before_its_consequences(baseline: Baseline) -> None:
    monitor, random = DriftMonitor(baseline), np.random.default_rng(4)
    watch(monitor, random, 100, score=3.0)
    assert monitor.moved == "texture"
    watch(monitor, random, 100, score=3.0, sharpness=-3.0)
    assert monitor.moved == "focus"
    assert [alarm.moved for alarm in monitor.standing] == ["focus", "texture"]


def test_what_is_farthest_away_is_named(baseline: Baseline) -> None:
    monitor = DriftMonitor(baseline)
    watch(monitor, np.random.default_rng(8), 300, column=0.7, sharpness=-2.5)
    assert [alarm.channel for alarm in monitor.standing] == ["sharpness", "column"]


def test_more_detail_than_the_lens_gave_is_no_focus(baseline: Baseline) -> None:
    monitor = DriftMonitor(baseline)
    watch(monitor, np.random.default_rng(7), 50, sharpness=3.0)
    assert (monitor.moved, monitor.standing[0].channel) == ("texture", "sharpness")


def test_single_defective_parts_raise_no_alarm(baseline: Baseline) -> None:
    monitor, random = DriftMonitor(baseline), np.random.default_rng(5)
    for number in range(1000):
        defect = {"score": 1e6} if number % 100 in (50, 51) else {}
        monitor.add({**figures(random), **defect}, str(number), NOW)
    assert monitor.report("main", "default").alarms == ()


def test_the_report_is_json(baseline: Baseline) -> None:
    monitor = DriftMonitor(baseline)
    watch(monitor, np.random.default_rng(6), 200, column=2.0)
    report = json.loads(json.dumps(monitor.report("main", "default").as_json()))
    assert (report["view"], report["recipe"], report["parts"]) == ("main", "default", 200)
    assert report["moved"] == "position"
    assert report["alarms"][0]["raised_utc"] == "2026-11-21T00:00:00+00:00"
    assert report["alarms"][0]["cleared_utc"] is None


def test_parts_without_frame_or_verdict_are_left_out(
    baseline: Baseline, make_settled: MakeSettled
) -> None:
    monitor = DriftMonitor(baseline)
    frameless = make_settled(1, with_frame=False)
    failed = make_settled(2, no_verdict(Cause.ENGINE, "failed"))
    for settled in (frameless, failed):
        monitor.take(settled.trigger, settled.decisive)
    assert monitor.parts == 0


def test_only_what_is_inspected_is_watched(make_settled: MakeSettled) -> None:
    crop = Crop(top=8, left=8, height=32, width=48)
    settled = [with_black_border(make_settled(number), crop) for number in range(1, 41)]
    shown = [crop.of(frame.image) for one in settled if (frame := one.decisive.frame) is not None]
    reference = reference_from(shown[0])
    rows = [frame_figures(image, reference) for image in shown]
    values = {name: [row[name] for row in rows] for name in rows[0]}
    fitted = baseline_from({**values, "score": [3.25] * 40})
    fitted = fitted.model_copy(update={"reference_png": encode_png(reference)})
    inside, whole = DriftMonitor(fitted, crop), DriftMonitor(fitted)
    for one in settled * 5:
        inside.take(one.trigger, one.decisive)
        whole.take(one.trigger, one.decisive)
    assert (inside.parts, inside.moved) == (200, None)
    assert "light" in {alarm.moved for alarm in whole.standing}


def with_black_border(settled: Settled, crop: Crop) -> Settled:
    frame = settled.decisive.frame
    assert frame is not None
    image = np.zeros_like(frame.image)
    crop.of(image)[:] = crop.of(frame.image)
    result = replace(settled.decisive, frame=replace(frame, image=image))
    return replace(settled, views=(result,))
