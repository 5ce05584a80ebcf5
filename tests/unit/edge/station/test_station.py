"""A line starts only with golden results, is ready only after its parts, and reopens its files."""

from pathlib import Path

import numpy as np
import pytest

from calibration.calibrate import calibrate
from calibration.thresholds import CalibrationTargets
from edge.line.jsonlines import JsonLines
from edge.station.assembly import open_station
from edge.station.config import LineConfig
from inspection.bundle import Bundle, open_bundle
from inspection.bundle.manifest import seal_bundle
from inspection.config.loading import load_config
from inspection.errors import EngineError
from inspection.images import encode_png

golden_bundle = pytest.importorskip("tests.doubles.golden_bundle", reason="needs the package onnx")


def parts(folder: Path, brightest: list[int], light: int = 20) -> list[Path]:
    """Grey parts with a bright spot, which sets their score."""
    folder.mkdir()
    random, paths = np.random.default_rng(1), []
    for number, value in enumerate(brightest):
        frame = random.integers(light, light + 9, (32, 32), dtype=np.uint8)
        frame[8:12, 8:12] = value
        paths.append(folder / f"{number:03d}.png")
        paths[-1].write_bytes(encode_png(frame))
    return paths


def line(tmp_path: Path, *settings: str) -> LineConfig:
    path = tmp_path / "line.yaml"
    path.write_text(
        "bundle: bundle\n"
        "engine: {threads: 1}\n"
        "camera: {kind: replay, path: parts}\n"
        "deadline_ms: 30000\n"
        "outputs: [{kind: jsonlines, path: parts.jsonl}]\n"
    )
    return load_config(path, LineConfig, settings)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    built: Bundle = golden_bundle.build(tmp_path / "bundle")
    return built


def expect_another_score(bundle: Bundle) -> None:
    """Write another expected score beside the first golden frame."""
    first = bundle.manifest.golden[0]
    with np.load(bundle.file(first.expected)) as expected:
        np.savez(bundle.folder / first.expected, score=np.float32(0.9), map=expected["map"])
    calibration = bundle.calibration("default", "model.onnx")
    (bundle.folder / "manifest.json").unlink()
    bundle.calibration_path("default").unlink()
    seal_bundle(bundle.folder, bundle.manifest.model_dump(exclude={"files", "seal"}))
    open_bundle(bundle.folder).add_calibration(calibration)


def test_a_line_with_golden_results_starts(bundle: Bundle, tmp_path: Path) -> None:
    parts(tmp_path / "parts", [90, 200])
    with open_station(line(tmp_path), lambda _record: None) as station:
        assert station.pipeline.run().triggers == 2
        assert not station.drift.is_watching
        assert station.changeover.active.check is None


def test_the_files_of_the_outputs_are_opened_anew_on_demand(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reopened: list[JsonLines] = []

    def reopen(output: JsonLines) -> None:
        reopened.append(output)

    monkeypatch.setattr(JsonLines, "reopen", reopen)
    two = "outputs=[{kind: jsonlines, path: a.jsonl}, {kind: jsonlines, path: b.jsonl}]"
    parts(tmp_path / "parts", [90])
    with open_station(
        line(tmp_path, two, f"records={{folder: {tmp_path}/records}}"), lambda _record: None
    ) as station:
        station.reopen_files()
        outputs = [one for one in station.drivers.values() if isinstance(one, JsonLines)]
    assert reopened == outputs
    assert len(outputs) == 2


def test_a_line_with_other_results_does_not_start(bundle: Bundle, tmp_path: Path) -> None:
    expect_another_score(bundle)
    parts(tmp_path / "parts", [90])
    with (
        pytest.raises(EngineError, match=r"golden frames grey-40, so the line does not start"),
        open_station(line(tmp_path), lambda _record: None),
    ):
        pass


def test_drift_on_the_line_stands_in_the_summary(bundle: Bundle, tmp_path: Path) -> None:
    good = parts(tmp_path / "good", list(range(60, 100)))
    calibrate(bundle, good, CalibrationTargets(0.05))
    parts(tmp_path / "parts", list(range(60, 100)), light=40)
    with open_station(line(tmp_path), lambda _record: None) as station:
        summary = station.pipeline.run()
    (drift,) = summary.drift
    assert drift.parts + summary.drift_left_out == 40
    assert "light" in {alarm.moved for alarm in drift.alarms}


def test_a_line_is_ready_once_its_reference_parts_are_right(bundle: Bundle, tmp_path: Path) -> None:
    parts(tmp_path / "parts", [90, 90, 200, 90])
    checks = "checks={parts: [{name: golden, expect: PASS}, {name: limit, expect: REJECT}]}"
    reasons: list[str | None] = []
    with open_station(
        line(tmp_path, checks), lambda _record: reasons.append(check.blocked())
    ) as station:
        assert station.changeover.active.check is not None
        check = station.changeover.active.check
        assert station.pipeline.run().triggers == 4
    assert reasons == [
        "golden is right: show limit",
        "limit got PASS instead of REJECT: show golden",
        "golden got REJECT instead of PASS: show golden",
        "golden is right: show limit",
    ]
