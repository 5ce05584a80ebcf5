"""Figures of a deployed artefact, and doubts about them."""

import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspection.bundle import Chosen
from inspection.engine.cpu_record import FirstStage, Margin
from inspection.engine.sidecar import AccuracyGate
from inspection.errors import CameraError, ConfigError
from inspection.files import sha256_of
from inspection.images import NameExpression
from inspection.inspector import Inspector
from inspection.opening import EarlyPass
from inspection.preprocess import Crop, Preprocessing
from inspection.verdict import Verdict
from reports.classification import classification
from training.data.data_set import DataSet, Sample
from training.evaluation import Evaluation, RanEngine, Rate, SampleResult, evaluate, rate_of
from training.evaluation_files import evaluate_to
from training.inspected import inspect_samples, truth_at_map_size
from training.metrics import aupro, auroc, average_precision, best_f1
from training.report import engine_lines, figure_rows

MakeInspector = Callable[..., Inspector]
MakeDataSet = Callable[[dict[str, int]], DataSet]
PARTS = {"good/1": 51, "good/2": 102, "good/3": 204, "crack/1": 230, "crack/2": 77, "dent/1": 255}
FEW_PIXELS = (
    "the lowest false positive rate that these good images can show is 1.4e-02, above 1e-05: "
    "take more of them"
)


def evaluated(inspector: Inspector, data_set: DataSet) -> Evaluation:
    return evaluate(inspector, data_set.name, inspect_samples(inspector, data_set.test))


def bounds(rate: Rate) -> list[float]:
    return [rate.rate, rate.low, rate.high]


def cascade_of(inspector: Inspector) -> Inspector:
    """Puts a first stage before an inspector: scores up to 0.3 pass early."""
    sha256 = inspector.bundle.sha256("model.onnx")
    gate = AccuracyGate(
        frames=1, score=0.0, map=0.0, relative=0.0, tolerance=0.1, verdict_flips=0, threshold=0.5
    )
    first = FirstStage(
        engine="openvino",
        engine_version="1",
        artefact="model.onnx",
        artefact_sha256=sha256,
        compute="bf16",
        gate=gate,
        margin=Margin(width=0.2, seen_to=9.0),
        second_look=0.0,
    )
    (engine,) = inspector.engines
    return Inspector(
        inspector.bundle,
        inspector.calibration,
        engine,
        early=EarlyPass(engine, first.margin, first.identity),
        chosen=Chosen("onnxruntime", "model.onnx", first=first),
    )


def test_both_stages_are_named_with_the_share_of_early_passes(
    make_inspector: MakeInspector, make_data_set: MakeDataSet
) -> None:
    inspector, data_set = cascade_of(make_inspector()), make_data_set(PARTS)
    found = evaluated(inspector, data_set)
    sha256 = inspector.bundle.sha256("model.onnx")
    of_model = {"artefact": "model.onnx", "artefact_sha256": sha256}
    assert found.engines == (
        RanEngine(engine="openvino", precision="bf16", verdicts=1, **of_model),
        RanEngine(engine="onnxruntime", precision="fp32", verdicts=5, **of_model),
    )
    assert found.early_pass_rate == rate_of(1, 6)  # good/1, whose score is 0.2
    assert dict(figure_rows(found))["Passed early"].split(maxsplit=1) == [
        "16.7%",
        (
            "1 of 6 images, by model.onnx on openvino in bf16; model.onnx on onnxruntime in fp32 "
            "judged the others"
        ),
    ]
    line = f"model.onnx on openvino in bf16, SHA-256 {sha256}; verdicts: 1"
    assert engine_lines(found)[0] == line


def test_an_engine_alone_passes_nothing_early(
    make_inspector: MakeInspector, make_data_set: MakeDataSet
) -> None:
    inspector = make_inspector()
    inspector.chosen = Chosen("openvino", "model.onnx")
    found = evaluated(inspector, make_data_set(PARTS))
    assert [(one.engine, one.precision, one.verdicts) for one in found.engines] == [
        ("openvino", "fp32", 6)
    ]
    assert found.early_pass_rate is None
    assert "Passed early" not in dict(figure_rows(found))


class TestFigures:
    def test_whole(self, make_inspector: MakeInspector, make_data_set: MakeDataSet) -> None:
        inspector, data_set = make_inspector(), make_data_set(PARTS)
        maps, masks = np.zeros((6, 16, 24), np.float32), np.zeros((6, 16, 24), np.bool_)
        for number, brightness in enumerate(PARTS.values()):
            maps[number, 4:8, 8:12] = brightness / 255
            masks[number, 4:8, 8:12] = number > 2
        found = evaluated(inspector, data_set)
        assert found == Evaluation(
            data_set="parts",
            data_sha256=found.data_sha256,
            created_utc=found.created_utc,
            bundle="tiny",
            bundle_seal=inspector.bundle.manifest.seal,
            model="brightness",
            backbone=None,
            recipe="default",
            artefact="model.onnx",
            artefact_sha256=inspector.bundle.manifest.files["model.onnx"],
            calibration_seal=inspector.calibration.seal,
            good=3,
            defective=3,
            image_auroc=7 / 9,
            image_average_precision=(1 + 1 + 3 / 5) / 3,
            best_f1_oracle=0.8,
            pixel_auroc=auroc(maps, masks),
            aupro=aupro(maps, masks, 0.3),
            pixel_average_precision=average_precision(maps, masks),
            pixel_best_f1_oracle=best_f1(maps, masks).f1,
            aupro_strict=aupro(maps, masks, 0.05),
            aupimo=None,
            aupimo_zero=None,
            detected_at_5_percent=2 / 3,
            passed_at_5_percent=1 / 3,
            categories={},
            threshold=0.5,
            threshold_review=None,
            threshold_pixel=0.5,
            promised_false_reject_rate=0.01,
            confidence=0.95,
            false_reject_rate=rate_of(1, 3),
            escape_rate=rate_of(1, 3),
            review_rate_good=rate_of(0, 3),
            review_rate_defective=rate_of(0, 3),
            escapes_by_defect={"crack": rate_of(1, 2), "dent": rate_of(0, 1)},
            classification=classification(
                [
                    *[("good", "good")] * 2,
                    ("good", "defective"),
                    ("crack", "defective"),
                    ("crack", "good"),
                    ("dent", "defective"),
                ]
            ),
            latency_p50_ms=found.latency_p50_ms,
            map_size=(16, 24),
            without_mask=0,
            vanished_masks=0,
            undefined={"aupimo": FEW_PIXELS, "aupimo_zero": FEW_PIXELS},
            no_verdict={},
            doubts=(),
            samples=tuple(
                SampleResult(
                    name=f"{name}.png",
                    sha256=sha256_of(sample.path),
                    verdict=Verdict.REJECT if brightness > 127 else Verdict.PASS,
                    score=float(np.float32(brightness / 255)),
                )
                for (name, brightness), sample in zip(PARTS.items(), data_set.test, strict=True)
            ),
        )

    def test_json_form_is_strict_and_reads_back(
        self, make_inspector: MakeInspector, make_data_set: MakeDataSet, tmp_path: Path
    ) -> None:
        data_set = make_data_set({"good/1": 51})
        found = evaluated(make_inspector(), data_set)
        text = found.model_dump_json()
        assert "NaN" not in text
        assert str(tmp_path) not in text
        assert Evaluation.model_validate_json(text) == found

    def test_review_band(self, make_inspector: MakeInspector, make_data_set: MakeDataSet) -> None:
        found = evaluated(
            make_inspector(calibration={"threshold_review": 0.35}), make_data_set(PARTS)
        )
        assert found.review_rate_good == rate_of(1, 3)
        assert found.review_rate_defective == rate_of(0, 3)
        assert found.escape_rate == rate_of(1, 3)
        assert found.classification.confusion == {
            "good": {"good": 1, "defective": 1, "review": 1},
            "defective": {"good": 1, "defective": 2, "review": 0},
        }

    def test_images_of_a_part_count_once(
        self, make_inspector: MakeInspector, make_data_set: MakeDataSet
    ) -> None:
        images = {"good/1_a": 51, "good/1_b": 204, "good/2_a": 51, "good/2_b": 52}
        images |= {"crack/1_a": 51, "crack/1_b": 230, "crack/2_a": 60, "dent/1_a": 61}
        inspector, data_set = make_inspector(), make_data_set(images)
        inspected = inspect_samples(inspector, data_set.test)
        name = NameExpression("--part-name", "^(.*)_")
        found = evaluate(inspector, data_set.name, inspected, part_of=name)
        assert (found.part_name, found.good, found.defective) == ("^(.*)_", 2, 3)
        assert found.false_reject_rate == rate_of(1, 2)
        assert found.escape_rate == rate_of(2, 3)
        assert found.escapes_by_defect == {"crack": rate_of(1, 2), "dent": rate_of(1, 1)}
        assert found.classification.confusion == {
            "good": {"good": 1, "defective": 1},
            "defective": {"good": 2, "defective": 1},
        }
        alone = evaluate(inspector, data_set.name, inspected)
        assert (alone.good, alone.escape_rate) == (4, rate_of(3, 4))
        assert alone.image_auroc == found.image_auroc
        none = replace(inspected[0].inspection, verdict=Verdict.NO_VERDICT, score=math.nan)
        unseen = [*inspected[1:4], replace(inspected[2], inspection=none)]
        found = evaluate(inspector, data_set.name, unseen, part_of=name)
        # The first part is rejected by its other image; the second may hide a defect.
        assert found.false_reject_rate == rate_of(1, 1)

    def test_a_file_without_a_name_is_refused_before_the_inspection(
        self, make_inspector: MakeInspector, make_data_set: MakeDataSet, tmp_path: Path
    ) -> None:
        name, told = NameExpression("--part-name", "_"), list[int]()
        data_set = make_data_set({"good/1_a": 51, "good/2": 51})
        with pytest.raises(ConfigError, match=r"--part-name _: does not match the name .*2.png"):
            evaluate_to(
                make_inspector(),
                data_set,
                tmp_path / "out",
                part_of=name,
                report=lambda: told.append(1),
            )
        assert not told

    def test_several_images_of_a_part_in_the_calibration_ask_for_their_names(
        self, make_inspector: MakeInspector, make_data_set: MakeDataSet
    ) -> None:
        images = [f"{number:064x}" for number in range(2)]
        inspector = make_inspector(
            calibration={
                "scores": dict.fromkeys(images, 0.5),
                "parts": dict.fromkeys(images, "a"),
                "false_reject_rate_bound": 0.95,
            }
        )
        assert evaluated(inspector, make_data_set({"good/1": 51})).doubts == (
            (
                "the calibration supports only a false reject rate of 95.0% at 95% confidence, not "
                "the target of 1.0% (number of good parts: 1): calibrate with more"
            ),
            (
                "every image counts as one part here, and the calibration has several images of a "
                "part: give its --part-name"
            ),
        )

    def test_without_defects(
        self, make_inspector: MakeInspector, make_data_set: MakeDataSet
    ) -> None:
        found = evaluated(make_inspector(), make_data_set({"good/1": 51, "good/2": 204}))
        assert found.false_reject_rate == rate_of(1, 2)
        assert found.escape_rate is None
        assert found.image_auroc is None
        assert found.escapes_by_defect == {}
        both = "both good samples and defects are needed"
        assert found.undefined == {
            "escape_rate": "there is no defective part with a verdict",
            "review_rate_defective": "there is no defective part with a verdict",
            "image_auroc": both,
            "image_average_precision": both,
            "best_f1_oracle": both,
            "pixel_auroc": both,
            "detected_at_5_percent": both,
            "passed_at_5_percent": both,
            "aupro": "AUPRO needs at least one defect region and one good pixel",
            "aupro_strict": "AUPRO needs at least one defect region and one good pixel",
            "aupimo": "both good and defective images are needed",
            "aupimo_zero": "both good and defective images are needed",
            "pixel_average_precision": both,
            "pixel_best_f1_oracle": both,
        }

    def test_without_good_parts(
        self, make_inspector: MakeInspector, make_data_set: MakeDataSet
    ) -> None:
        found = evaluated(make_inspector(), make_data_set({"crack/1": 230}))
        assert found.escape_rate == rate_of(0, 1)
        assert found.undefined["false_reject_rate"] == "there is no good part with a verdict"
        assert found.pixel_auroc == 1.0  # the rest of the image is good pixels

    def test_frames_that_do_not_fit_are_named(
        self, make_inspector: MakeInspector, make_data_set: MakeDataSet, tmp_path: Path
    ) -> None:
        inspector = make_inspector(
            manifest={
                "preprocessing": {
                    "frame_height": (30, 30),
                    "frame_width": (48, 48),
                    "channels": 1,
                    "crop": {"top": 20, "left": 0, "height": 10, "width": 10},
                    "height": 16,
                    "width": 24,
                }
            }
        )
        data_set = make_data_set({"good/1": 51, "crack/1": 230})
        inspected = inspect_samples(inspector, data_set.test)
        found = evaluate(inspector, data_set.name, inspected)
        reason = (
            "the frame is 32x48 (height x width) and the model was trained on 30x48: check the "
            "camera's region, or train with such frames"
        )
        assert found.no_verdict == {"good/1.png": reason, "crack/1.png": reason}
        assert (found.good, found.defective, found.latency_p50_ms) == (0, 0, None)
        assert found.samples[0].score is None
        assert found.doubts == (
            "there is no verdict, and all figures leave the part out: good/1.png, crack/1.png",
        )
        assert inspected[0].region()[0].shape == (32, 48)

    def test_rates(self) -> None:
        assert bounds(rate_of(0, 10)) == pytest.approx([0, 0, 1 - 0.025 ** (1 / 10)])
        assert bounds(rate_of(10, 10)) == pytest.approx([1, 0.025 ** (1 / 10), 1])
        assert bounds(rate_of(3, 19)) == pytest.approx([3 / 19, 0.0338262, 0.3957846], rel=1e-5)


class TestRefusals:
    def test_images_the_model_was_trained_on(
        self, make_inspector: MakeInspector, make_data_set: MakeDataSet
    ) -> None:
        data_set = make_data_set(PARTS)
        learnt = [data_set.test[0].path, data_set.test[3].path]
        inspector = make_inspector(trained_on=tuple(map(sha256_of, learnt)))
        with pytest.raises(CameraError) as caught:
            inspect_samples(inspector, data_set.test)
        assert str(caught.value) == (
            "the model was trained on 2 of these test images, so that figures would mean nothing; "
            f"test it on others: {learnt[0]}, {learnt[1]}"
        )

    def test_no_test_images(self, make_inspector: MakeInspector) -> None:
        with pytest.raises(CameraError, match="put them into test/good and test/<defect>"):
            inspect_samples(make_inspector(), ())

    def test_unreadable_images_are_all_named(
        self, make_inspector: MakeInspector, make_data_set: MakeDataSet
    ) -> None:
        data_set = make_data_set(PARTS)
        for sample in data_set.test[:2]:
            sample.path.write_bytes(b"no image")
        with pytest.raises(
            CameraError, match=r"2 unusable images:\n.*good/1\.png.*\n.*good/2\.png"
        ):
            inspect_samples(make_inspector(), data_set.test)


class TestDoubts:
    def test_of_the_bundle(self, make_inspector: MakeInspector, make_data_set: MakeDataSet) -> None:
        data_set = make_data_set({"good/1": 51, "good/2": 102})
        inspector = make_inspector(
            manifest={"model_config_values": {"backbone": {"weights": "none"}}},
            calibration={
                "false_reject_rate_bound": 0.12,
                "scores": {sha256_of(data_set.test[1].path): 0.4},
            },
        )
        assert evaluated(inspector, data_set).doubts == (
            "the backbone is untrained: use the model to try the chain, and not to inspect parts",
            (
                "the calibration supports only a false reject rate of 12.0% at 95% confidence, not "
                "the target of 1.0% (number of good parts: 1): calibrate with more"
            ),
            (
                "the threshold was set with test images, so that new parts may have another "
                "false reject rate: good/2.png"
            ),
        )

    def test_of_the_images(self, make_inspector: MakeInspector, make_data_set: MakeDataSet) -> None:
        data_set = make_data_set({"good/1": 51, "good/2": 51, "crack/1": 51, "crack/2": 230})
        undrawn = Sample(data_set.test[3].path, "crack", None)
        found = evaluated(make_inspector(), DataSet("parts", (), (), (*data_set.test[:3], undrawn)))
        assert found.doubts == (
            "the same image has two labels: crack/1.png",
            (
                "an image repeats another, so that the bounds are too narrow: good/2.png, "
                "crack/1.png"
            ),
            (
                "there is no drawn mask in ground_truth, and pixel figures leave the part out: "
                "crack/2.png"
            ),
        )
        assert found.without_mask == 1

    def test_of_the_data_set(
        self, make_inspector: MakeInspector, make_data_set: MakeDataSet, tmp_path: Path
    ) -> None:
        data_set = replace(make_data_set({"good/1": 51, "crack/1": 230}), doubts=("left out",))
        assert "left out" in evaluate_to(make_inspector(), data_set, tmp_path / "out").doubts

    def test_vanished_and_empty_masks(
        self, make_inspector: MakeInspector, make_data_set: MakeDataSet
    ) -> None:
        data_set = make_data_set({"good/1": 51, "crack/1": 230, "crack/2": 200})
        point = np.zeros((32, 48), np.uint8)
        cv2.imwrite(str(data_set.test[2].mask), point)
        point[3, 3] = 255
        cv2.imwrite(str(data_set.test[1].mask), point)
        found = evaluated(make_inspector(), data_set)
        assert (found.vanished_masks, found.without_mask) == (1, 1)
        assert (
            "the defect lies outside the inspected region or is too small for one pixel of the "
            "anomaly map, and pixel figures leave the part out: crack/1.png"
        ) in found.doubts
        assert "pixel_auroc" in found.undefined


class TestTruth:
    def test_half_covered_pixels_are_defects(self) -> None:
        preprocessing = Preprocessing(
            frame_height=(4, 4), frame_width=(4, 4), channels=3, height=2, width=2
        )
        truth = np.array([[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 0]], np.bool_)
        assert truth_at_map_size(truth, preprocessing).tolist() == [[True, False], [False, True]]

    def test_goes_through_the_crop(
        self, make_inspector: MakeInspector, make_data_set: MakeDataSet
    ) -> None:
        crop = Crop(top=8, left=16, height=8, width=16)
        preprocessing = {
            "frame_height": (32, 32),
            "frame_width": (48, 48),
            "channels": 1,
            "crop": crop,
            "height": 4,
            "width": 8,
        }
        inspector = make_inspector(
            manifest={"preprocessing": preprocessing, "graph": {"height": 4, "width": 8}}
        )
        (sample,) = inspect_samples(inspector, make_data_set({"crack/1": 230}).test)
        assert sample.truth is not None
        assert sample.truth.tolist() == [[True] * 4 + [False] * 4] * 4
        region, truth = sample.region()
        assert truth is not None
        assert (region > 0).tolist() == truth.tolist() == [[True] * 8 + [False] * 8] * 8

    def test_data_hash_covers_labels_and_masks(
        self, make_inspector: MakeInspector, make_data_set: MakeDataSet
    ) -> None:
        inspector, data_set = make_inspector(), make_data_set(PARTS)

        def digest(*samples: Sample) -> str:
            return evaluated(inspector, DataSet("parts", (), (), samples)).data_sha256

        first, *rest, last = data_set.test
        whole = digest(first, *rest, last)
        assert digest(last, first, *rest) == whole
        assert digest(first, *rest, Sample(last.path, "scratch", last.mask)) != whole
        assert digest(first, *rest, Sample(last.path, last.defect)) != whole


def test_needs_no_torch() -> None:
    code = "import linewarden.commands.evaluate, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_each_category_is_measured_by_itself(
    make_inspector: MakeInspector, make_data_set: MakeDataSet
) -> None:
    """In one category the scores separate, in the other they are upside down."""
    data_set = make_data_set(PARTS)
    kinds = dict(zip(PARTS, ("nut", "bolt", "bolt", "nut", "bolt", "nut"), strict=True))
    test = tuple(
        replace(sample, category=kind)
        for sample, kind in zip(data_set.test, kinds.values(), strict=True)
    )
    found = evaluated(make_inspector(), replace(data_set, test=test))
    assert {name: f.image_auroc for name, f in found.categories.items()} == {"bolt": 0, "nut": 1}
    assert found.image_auroc == pytest.approx(7 / 9)
    assert found.samples[0].name == "nut/good/1.png"
