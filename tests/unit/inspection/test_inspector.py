"""Tests verdicts on single frames, with a bundle whose score is easy to compute by hand."""

import numpy as np
import pytest

from edge import Inspection, Inspector
from inspection.bundle import Bundle
from inspection.engine import GraphShape, Prediction, engine_class
from inspection.errors import BundleError, EngineError
from inspection.preprocess import Crop
from inspection.verdict import Cause, Thresholds, Verdict, decide


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

    def infer(self, batch: np.ndarray) -> Prediction:
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
