"""Tests verdicts on single frames, with a bundle whose score is easy to compute by hand."""

import base64
import threading
import time

import cv2
import numpy as np
import pytest

from edge import Inspection, Inspector
from inspection.bundle import Bundle
from inspection.engine import GraphShape, Prediction, engine_class
from inspection.errors import BundleError, EngineError
from inspection.images import encode_png
from inspection.layout import Layout
from inspection.layout.alignment import Alignment
from inspection.layout.zones import Zone
from inspection.opening import open_engine
from inspection.preprocess import Crop, Preprocessing
from inspection.verdict import Cause, Thresholds, Verdict, decide, decide_by_zone


def frame(brightest: int) -> np.ndarray:
    image = np.full((32, 32), 10, np.uint8)
    image[5:8, 9:12] = brightest
    return image


@pytest.mark.parametrize(("brightest", "verdict"), [(100, "PASS"), (200, "REJECT")])
def test_verdict_score_and_mask(tiny_bundle: Bundle, brightest: int, verdict: str) -> None:
    with Inspector.open(tiny_bundle.folder) as inspector:
        inspection = inspector.inspect(frame(brightest))
    assert inspection.verdict == Verdict(verdict)
    assert inspection.score == pytest.approx(brightest / 255, abs=1e-6)
    expected = frame(brightest) == brightest if verdict == "REJECT" else np.zeros((32, 32), bool)
    assert np.array_equal(inspection.mask, expected)


def test_a_wrong_frame_is_no_verdict_and_the_next_one_is_judged(tiny_bundle: Bundle) -> None:
    with Inspector.open(tiny_bundle) as inspector:
        wrong = inspector.inspect(np.zeros((31, 32), np.uint8))
        assert (wrong.verdict, wrong.cause) == (Verdict.NO_VERDICT, Cause.FRAME)
        assert "the frame is 31x32" in wrong.message
        assert inspector.inspect(frame(0)).verdict is Verdict.PASS


class BrokenEngine:
    """Returns the output of a broken device."""

    def __init__(self, score: float = 0.0, error: str | None = None) -> None:
        self.score, self.error = score, error

    def infer(self, batch: np.ndarray, deadline_ns: int | None = None) -> Prediction:
        if self.error:
            raise EngineError(self.error)
        maps = np.zeros((1, 32, 32), np.float32)
        return Prediction(np.array([self.score], np.float32), maps)

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("engine", "cause"),
    [
        (BrokenEngine(error="device lost"), Cause.ENGINE),
        (BrokenEngine(score=float("nan")), Cause.NOT_FINITE),
        (BrokenEngine(score=float("inf")), Cause.NOT_FINITE),
    ],
)
def test_a_broken_engine_never_passes_a_part(
    tiny_bundle: Bundle, engine: BrokenEngine, cause: Cause
) -> None:
    calibration = tiny_bundle.calibration("default", "model.onnx")
    inspection = Inspector(tiny_bundle, calibration, engine).inspect(frame(10))
    assert (inspection.verdict, inspection.cause) == (Verdict.NO_VERDICT, cause)
    assert inspection.message


def test_unknown_engine_and_artefact_are_refused(tiny_bundle: Bundle) -> None:
    with pytest.raises(EngineError, match=r"unknown engine 'onnxruntme'.*did you mean"):
        Inspector.open(tiny_bundle, engine="onnxruntme")
    with pytest.raises(BundleError, match=r"has no artefact 'model\.fp16\.onnx'"):
        Inspector.open(tiny_bundle, artefact="model.fp16.onnx")


def test_an_engine_refuses_a_graph_of_another_shape(tiny_bundle: Bundle) -> None:
    with pytest.raises(EngineError, match="export the bundle again"):
        engine_class("onnxruntime")(
            tiny_bundle.file("model.onnx"), GraphShape(64, 64), threads=None
        )


def test_an_engine_refuses_rubbish_and_wrong_input(tiny_bundle: Bundle) -> None:
    path = tiny_bundle.folder / "rubbish.onnx"
    path.write_bytes(b"rubbish")
    make = engine_class("onnxruntime")
    with pytest.raises(EngineError, match="cannot load it"):
        make(path, GraphShape(32, 32), threads=1)
    engine = make(tiny_bundle.file("model.onnx"), GraphShape(32, 32), threads=1)
    with pytest.raises(EngineError, match=r"the graph takes uint8 \(1, 32, 32, 3\)"):
        engine.infer(np.zeros((1, 32, 32, 3), np.float32))
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="is closed"):
        engine.infer(np.zeros((1, 32, 32, 3), np.uint8))


class TestDecide:
    MAP = np.array([[0.0, 2.0]], np.float32)

    @pytest.mark.parametrize(
        ("score", "verdict"),
        [(0.9, "PASS"), (1.0, "PASS"), (1.1, "REVIEW"), (2.0, "REVIEW"), (2.1, "REJECT")],
    )
    def test_bands(self, score: float, verdict: str) -> None:
        limits = Thresholds(reject=2.0, pixel=1.0, review=1.0)
        assert decide(score, self.MAP, limits).verdict == Verdict(verdict)

    def test_a_map_that_is_not_finite_gives_no_verdict(self) -> None:
        broken = np.array([[np.nan, 0.0]], np.float32)
        decision = decide(0.0, broken, Thresholds(reject=1.0, pixel=1.0))
        assert (decision.verdict, decision.cause) == (Verdict.NO_VERDICT, Cause.NOT_FINITE)


def test_the_native_mask_lies_where_the_crop_was() -> None:
    mask = np.zeros((4, 4), np.bool_)
    mask[0, 0] = True
    inspection = Inspection(
        verdict=Verdict.REJECT,
        score=1.0,
        thresholds=Thresholds(0.5, 0.5),
        anomaly_map=None,
        mask=mask,
        crop=Crop(top=10, left=20, height=8, width=8),
    )
    native = inspection.native_mask(np.zeros((40, 50), np.uint8))
    expected = np.zeros((40, 50), np.bool_)
    expected[10:12, 20:22] = True
    assert np.array_equal(native, expected)
    assert np.array_equal(inspection.native_mask(np.zeros((40, 50, 3), np.uint8)), expected)


def test_a_pixel_at_its_threshold_is_no_defect() -> None:
    anomaly_map = np.array([[1.0, 1.1]], np.float32)
    limits = Thresholds(reject=1.0, pixel=1.0)
    assert decide(2.0, anomaly_map, limits).mask.tolist() == [[False, True]]
    zones = np.ones((1, 2), np.uint8)
    assert decide_by_zone(2.0, anomaly_map, zones, [limits]).mask.tolist() == [[False, True]]


def test_a_region_counts_from_its_smallest_area_on_and_over_corners() -> None:
    anomaly_map = np.array([[9, 0, 0, 0], [0, 0, 9, 0], [0, 0, 0, 9]], np.float32)
    mask = decide(9.0, anomaly_map, Thresholds(1.0, 1.0, minimum_area_px=2)).mask
    assert mask.astype(int).tolist() == [[0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert not decide(9.0, anomaly_map, Thresholds(1.0, 1.0, minimum_area_px=3)).mask.any()


class RememberingEngine(BrokenEngine):
    """Takes its time, and keeps the batches."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[np.ndarray] = []

    def infer(self, batch: np.ndarray, deadline_ns: int | None = None) -> Prediction:
        self.batches.append(batch)
        time.sleep(0.02)
        return super().infer(batch)


def test_an_inspection_says_how_long_each_step_took(tiny_bundle: Bundle) -> None:
    calibration = tiny_bundle.calibration("default", "model.onnx")
    inspector = Inspector(tiny_bundle, calibration, RememberingEngine())
    started_ns = time.monotonic_ns()
    times = inspector.inspect(frame(10)).times
    passed_ns = time.monotonic_ns() - started_ns
    assert times.preprocess_ns > 0
    assert times.infer_ns >= 20_000_000
    assert times.decide_ns > 0
    assert times.preprocess_ns + times.infer_ns + times.decide_ns <= passed_ns


def test_warming_runs_the_engine_on_an_empty_image(tiny_bundle: Bundle) -> None:
    engine = RememberingEngine()
    Inspector(tiny_bundle, tiny_bundle.calibration("default", "model.onnx"), engine).warm(engine)
    (batch,) = engine.batches
    assert batch.shape == (1, 32, 32, 3)
    assert batch.dtype == np.uint8
    assert not batch.any()


def test_an_opened_engine_has_run_once(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = RememberingEngine()
    monkeypatch.setattr(
        "inspection.opening.engine_class", lambda *_: lambda *_words, **_more: engine
    )
    open_engine(tiny_bundle).close()
    assert len(engine.batches) == 1


def test_a_refused_frame_keeps_the_thresholds_in_force(tiny_bundle: Bundle) -> None:
    calibration = tiny_bundle.calibration("default", "model.onnx")
    refused = Inspector(tiny_bundle, calibration, BrokenEngine()).inspect(
        np.zeros((9, 9), np.uint8)
    )
    assert refused.cause is Cause.FRAME
    assert refused.thresholds == calibration.thresholds
    assert refused.mask.shape == (32, 32)


SIDE = 96
CROP = Crop(top=24, left=32, height=32, width=32)


def aligned_inspector(bundle: Bundle, scene: np.ndarray) -> Inspector:
    """Two zones, left and right of the crop, that move with a mark."""
    preprocessing = Preprocessing(
        frame_height=(SIDE, SIDE), frame_width=(SIDE, SIDE), channels=1, crop=CROP,
        height=32, width=32,
    )  # fmt: skip
    manifest = bundle.manifest.model_copy(update={"preprocessing": preprocessing})
    mark = Crop(top=30, left=36, height=20, width=24)
    zones = [
        Zone(name=name, polygons=(((left, 24), (left + 16, 24), (left + 16, 56), (left, 56)),))
        for name, left in (("left", 32), ("right", 48))
    ]
    png = base64.b64encode(encode_png(np.ascontiguousarray(mark.of(scene)))).decode()
    calibration = bundle.calibration("default", "model.onnx").model_copy(
        update={
            "layout": Layout(
                frame_height=SIDE,
                frame_width=SIDE,
                zones=tuple(zones),
                alignment=Alignment(mark=mark, mark_png=png),
            ),
            "zone_thresholds": {"left": Thresholds(0.99, 0.99), "right": Thresholds(0.8, 0.8)},
        }
    )
    engine = engine_class("onnxruntime")(bundle.file("model.onnx"), GraphShape(32, 32), threads=1)
    return Inspector(Bundle(bundle.folder, manifest, bundle.keys), calibration, engine)


def test_a_part_that_moved_is_judged_by_the_zones_that_moved_with_it(tiny_bundle: Bundle) -> None:
    random = np.random.default_rng(3)
    scene = cv2.GaussianBlur(random.integers(0, 200, (SIDE, SIDE), dtype=np.uint8), (0, 0), 2)
    moved = np.asarray(np.roll(scene, (5, -7), axis=(0, 1)), np.uint8)
    moved[58, 55] = 230  # a defect for the right zone, which begins at 41
    with aligned_inspector(tiny_bundle, scene) as inspector:
        found = inspector.inspect(moved)
        lost = inspector.inspect(np.full((SIDE, SIDE), 100, np.uint8))
    assert (found.verdict, found.zone) == (Verdict.REJECT, "right")
    assert found.pose is not None
    assert (round(found.pose.right_px), round(found.pose.down_px)) == (-7, 5)
    assert found.crop == Crop(top=29, left=25, height=32, width=32)
    assert found.zones is not None
    assert (found.zones == np.repeat([1, 2], 16)[np.newaxis]).all()
    assert np.argwhere(found.native_mask(moved)).tolist() == [[58, 55]]
    assert (lost.verdict, lost.cause) == (Verdict.NO_VERDICT, Cause.PART_NOT_FOUND)


def test_an_engine_that_fails_its_first_run_is_closed_on_its_thread(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []

    class Failing:
        def __init__(self, *_args: object, **_settings: object) -> None:
            threads.append(threading.current_thread())

        def infer(self, _batch: object, _deadline_ns: object) -> None:
            raise EngineError("out of memory")

        def close(self) -> None:
            threads.append(threading.current_thread())

    monkeypatch.setattr("inspection.opening.engine_class", lambda *_: Failing)
    with pytest.raises(EngineError, match="out of memory"):
        open_engine(tiny_bundle)
    opened, closed = threads
    assert opened is closed is not threading.current_thread()
