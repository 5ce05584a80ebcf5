"""The choice for a processor: what holds, what is kept, and what is refused later."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from calibration.calibrate import CalibrationSettings, calibrate
from calibration.thresholds import CalibrationTargets
from export.cpu import build as cpu_build
from export.cpu import proof as cpu_proof
from export.cpu.build import (
    CpuBuildSettings,
    CpuBuilt,
    build_for_processor,
    compare_on_processor,
    has_choice,
)
from export.cpu.candidates import candidates_for
from export.precision.margins import FEWEST_GOOD, FirstLook
from export.timing import Image
from inspection.bundle import Bundle, Chosen, chosen_here, engine_of, open_bundle
from inspection.bundle.adoption import adopt
from inspection.engine import Engine, Prediction
from inspection.engine.cpu_record import CpuRecord, Margin, write_record
from inspection.errors import BundleError, EngineError
from inspection.files import sha256_of
from inspection.golden import golden_frames, require_golden
from inspection.golden_run import artefacts_here, runs_of_choice
from inspection.images import encode_png
from inspection.inspector import Inspector
from inspection.opening import open_chosen, open_early, open_engine
from tests.doubles import golden_bundle, processors
from tests.doubles.keys import own_key
from tests.tiny_bundle import SIZE

ov = pytest.importorskip("openvino")

BF16 = "engines/cpu-plain-cpu/bf16/model.cpu.json"
FP32 = "engines/cpu-plain-cpu/fp32/model.cpu.json"
INT8 = "model.int8.tensorrt.onnx"
FASTEST_BF16 = {"bf16": 1.0, "openvino": 4.0, "onnxruntime": 5.0}
FASTEST_OPENVINO = {"bf16": 4.0, "openvino": 1.0, "onnxruntime": 5.0}


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return golden_bundle.build(tmp_path / "bundle")


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor with BF16 on every machine: OpenVINO computes it in FP32."""
    processors.use(monkeypatch, processors.WITH_BF16)
    types = {"fp32": ov.Type.f32, "bf16": ov.Type.f32}
    monkeypatch.setattr("inspection.engine.openvino._TYPES", types)


def build(bundle: Bundle, times_ms: dict[str, float], good: Sequence[Path] = ()) -> CpuBuilt:
    good = good or good_images(bundle.folder.with_name("proof"), FEWEST_GOOD)
    return build_for_processor(
        bundle, CpuBuildSettings(good), stopwatch=processors.Stopwatch(times_ms)
    )


def good_images(folder: Path, count: int) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(encode_png(np.full((SIZE, SIZE), 20 + number, np.uint8)))
    return paths


def edit_exact(bundle: Bundle, **changes: object) -> None:
    """Rewrites the stage that decides, with a valid seal."""
    record = bundle.cpu_record(BF16)
    exact = record.exact.model_copy(update=changes)
    changed = record.model_copy(update={"exact": exact})
    write_record(bundle.folder / BF16, changed, bundle.keys)


def remarks(record: CpuRecord) -> dict[str, str]:
    return {f"{t.engine} {t.artefact} {t.compute}": t.remark for t in record.trials}


def test_the_fastest_that_holds_is_kept_and_is_the_default(bundle: Bundle) -> None:
    assert chosen_here(bundle) == Chosen("onnxruntime", "model.onnx")
    built = build(bundle, FASTEST_BF16)
    assert built.name == BF16
    assert remarks(built.record) == {
        "onnxruntime model.onnx fp32": "1.25 x the time of the kept one",
        "openvino model.onnx fp32": "kept, decides on all others",
        "openvino model.onnx bf16": "kept, passes clearly good parts",
    }
    assert [stage.gate.frames for stage in built.record.stages] == [13, 13]
    bundle = open_bundle(bundle.folder)
    chosen = chosen_here(bundle)
    assert (chosen.engine, chosen.artefact, chosen.compute) == ("openvino", "model.onnx", "fp32")
    assert chosen.first == built.record.first
    early = open_early(bundle, chosen)
    assert early is not None
    with closing(early.engine) as engine:
        require_golden(bundle, "model.onnx", engine, chosen.first)


def test_no_record_lets_a_lower_precision_decide(bundle: Bundle) -> None:
    record = build(bundle, FASTEST_BF16).record.model_dump()
    record["exact"]["compute"] = "bf16"
    with pytest.raises(ValidationError, match="exact: the stage that decides computes in FP32"):
        CpuRecord.model_validate(record)


def test_a_more_precise_one_goes_before_one_that_is_hardly_faster(bundle: Bundle) -> None:
    built = build(bundle, {"bf16": 0.88, "openvino": 1.0, "onnxruntime": 1.2})
    assert built.name == FP32
    assert remarks(built.record)["openvino model.onnx bf16"] == (
        "hardly faster than the more precise one"
    )
    assert chosen_here(bundle) == Chosen("openvino", "model.onnx")


class Scaled:
    """An engine whose scores and maps are those of another one, times a factor."""

    def __init__(self, factor: float, engine: Engine) -> None:
        self._factor, self._engine = np.float32(factor), engine

    def infer(self, batch: Image, deadline_ns: int | None = None) -> Prediction:
        got = self._engine.infer(batch, deadline_ns)
        return Prediction(got.scores * self._factor, got.maps * self._factor)

    def close(self) -> None:
        self._engine.close()


def scale(monkeypatch: pytest.MonkeyPatch, **factors: float) -> None:
    """Scales what the candidates give, by their precision or engine."""

    def opened(bundle: Bundle, chosen: Chosen, threads: int | None = None) -> Engine:
        engine = open_chosen(bundle, chosen, threads=threads)
        return Scaled(factors.get(chosen.compute, factors.get(chosen.engine, 1.0)), engine)

    monkeypatch.setattr(cpu_proof, "open_chosen", opened)


def test_one_that_leaves_the_budget_is_refused(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    scale(monkeypatch, bf16=2.0)
    built = build(bundle, FASTEST_BF16)
    assert remarks(built.record)["openvino model.onnx bf16"].startswith(
        "scores of good parts differ by "
    )
    assert built.record.first is None
    assert [trial.median_ms for trial in built.record.trials] == [5.0, 4.0, None]


def test_a_form_of_fp32_that_differs_by_more_than_rounding_never_decides(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    scale(monkeypatch, openvino=1.01)
    built = build(bundle, FASTEST_BF16)
    assert remarks(built.record)["openvino model.onnx fp32"] == (
        "scores of good parts differ by 3.2% of their spread, and at most 1.0% may be"
    )
    assert built.record.exact.engine == "onnxruntime"


@pytest.mark.parametrize("learnt", [0, 2])
def test_few_images_that_the_model_has_not_learnt_show_no_margin(
    learnt: int, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = good_images(bundle.folder.with_name("proof"), FEWEST_GOOD - 1 + learnt)
    hashes = frozenset(map(sha256_of, images[:learnt]))
    monkeypatch.setattr(Bundle, "trained_on", lambda _: hashes)
    again = [*images, *images]  # the same content counts once
    record = build(bundle, FASTEST_BF16, again).record
    assert remarks(record)["openvino model.onnx bf16"] == (
        "needs 10 good images that the model has not learnt, and has 9: --good"
    )
    assert record.first is None


def test_a_first_stage_that_errs_by_more_than_its_margin_does_not_start(bundle: Bundle) -> None:
    first = build(bundle, FASTEST_BF16).record.first
    assert first is not None
    with closing(open_engine(bundle)) as engine:
        require_golden(bundle, "model.onnx", engine, first)
        with pytest.raises(EngineError, match="gives other results here than the checkpoint"):
            require_golden(bundle, "model.onnx", Scaled(1.1, engine), first)


def test_a_first_stage_that_leaves_most_parts_to_fp32_is_not_kept(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = FirstLook(Margin(width=9.0, seen_to=9.0), 0.9, ())
    monkeypatch.setattr(cpu_proof, "first_look", lambda *_, **__: look)
    built = build(bundle, FASTEST_BF16)
    assert built.name == FP32
    assert remarks(built.record)["openvino model.onnx bf16"] == "1.15 x the time of the kept one"


def test_one_that_passes_what_the_checkpoint_rejects_is_refused(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = FirstLook(Margin(width=0.0, seen_to=9.0), 0.0, ("dark",))
    monkeypatch.setattr(cpu_proof, "first_look", lambda *_, **__: look)
    built = build(bundle, FASTEST_BF16)
    assert remarks(built.record)["openvino model.onnx bf16"] == "would pass dark"
    assert built.record.first is None


def test_a_precision_that_the_engine_does_not_take_is_never_replaced(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    types = {"fp32": ov.Type.f32, "bf16": ov.Type.i8}  # no processor computes all in it
    monkeypatch.setattr("inspection.engine.openvino._TYPES", types)
    built = build(bundle, FASTEST_BF16)
    assert remarks(built.record)["openvino model.onnx bf16"].startswith("does not run: ")
    assert built.name == FP32


def test_good_images_are_part_of_the_proof(bundle: Bundle, tmp_path: Path) -> None:
    built = build(bundle, FASTEST_BF16, tuple(good_images(tmp_path / "good", 40)))
    assert built.record.exact.gate.frames == 3 + cpu_proof.MAX_GOOD


def test_int8_files_are_tried_on_both_engines(bundle: Bundle) -> None:
    precisions = {INT8: "int8", "model.fp16.onnx": "fp16"}
    artefacts = {name: golden_bundle.artefact(value) for name, value in precisions.items()}
    bundle = golden_bundle.with_artefacts(bundle, artefacts)
    built = build(bundle, {f"openvino {INT8} bf16": 1.0, "": 2.0})
    assert built.name == "engines/cpu-plain-cpu/int8-bf16/model.cpu.json"
    assert [(t.engine, t.artefact) for t in built.record.trials if t.artefact == INT8] == [
        ("onnxruntime", INT8),
        ("openvino", INT8),
        ("openvino", INT8),
    ]
    assert not [t for t in built.record.trials if "fp16" in t.artefact]
    named = candidates_for(bundle, processors.PLAIN, [INT8])
    assert [one.precision for one in named] == ["fp32", "fp32", "int8", "int8"]
    with pytest.raises(BundleError, match=r"has no artefact 'model\.fp16\.onnx' for a processor"):
        candidates_for(bundle, processors.PLAIN, ["model.fp16.onnx"])


def test_a_file_for_openvino_needs_vnni_and_is_tried_there_alone(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = "model.int8.openvino.onnx"
    artefacts = {own: golden_bundle.artefact("int8", "openvino")}
    bundle = golden_bundle.with_artefacts(bundle, artefacts)
    built = build(bundle, {f"openvino {own} bf16": 1.0, "": 2.0})
    assert built.record.first is not None
    assert (built.record.first.artefact, built.record.precision) == (own, "int8-bf16")
    tried = [(t.engine, t.compute) for t in built.record.trials if t.artefact == own]
    assert tried == [("openvino", "fp32"), ("openvino", "bf16")]
    without = processors.PLAIN.model_copy(update={"flags": ("avx2",)})
    processors.use(monkeypatch, without)
    built = build(bundle, {"": 2.0})
    assert remarks(built.record)[f"openvino {own} fp32"] == (
        "its weights of 8 bits need a processor with VNNI"
    )
    assert without.model_copy(update={"machine": "aarch64"}).sums_int8_in_32_bits


def test_a_fp32_file_for_an_engine_takes_the_place_of_the_reference_there(bundle: Bundle) -> None:
    own = "model.openvino.onnx"
    bundle = golden_bundle.with_artefacts(bundle, {own: golden_bundle.artefact("fp32", "openvino")})
    built = build(bundle, FASTEST_OPENVINO)
    assert set(remarks(built.record)) == {
        "onnxruntime model.onnx fp32",
        f"openvino {own} fp32",
        f"openvino {own} bf16",
    }
    assert chosen_here(bundle) == Chosen("openvino", own)
    before = remarks(build(bundle, FASTEST_OPENVINO).record)
    without = processors.PLAIN.model_copy(update={"flags": ("avx2",)})
    assert before.keys() > {one.title for one in candidates_for(bundle, without)}


def test_an_artefact_alone_runs_on_the_engine_that_it_is_made_for(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, device, plan = "model.int8.openvino.onnx", "model.fp16.onnx", "engines/a/fp16/model.plan"
    artefacts = {
        own: golden_bundle.artefact("int8", "openvino"),
        device: golden_bundle.artefact("fp16", "tensorrt"),
    }
    bundle = golden_bundle.with_artefacts(bundle, artefacts)
    assert chosen_here(bundle, artefact=own) == Chosen("openvino", own)
    assert chosen_here(bundle, "onnxruntime", own) == Chosen("onnxruntime", own)
    assert chosen_here(bundle, artefact=device) == Chosen("onnxruntime", device)
    assert engine_of(bundle, plan) == "tensorrt"
    assert engine_of(bundle, "engines/a-rtx/fp16/model.plan") == "tensorrt-rtx"
    processors.use(monkeypatch, processors.PLAIN.model_copy(update={"flags": ("avx2",)}))
    with pytest.raises(EngineError, match=r"model\.int8\.openvino\.onnx gives other scores here"):
        chosen_here(bundle, artefact=own)


def test_a_file_that_flips_alone_goes_before_fp32_only(bundle: Bundle) -> None:
    parity = bundle.manifest.parity.model_copy(update={"frames": 9, "verdict_flips": 2})
    listed = golden_bundle.artefact("int8", "onnxruntime")
    bundle = golden_bundle.with_artefacts(
        bundle, {INT8: listed.model_copy(update={"parity": parity})}
    )
    reason = f"{INT8} flipped 2 of 9 verdicts at export and must not decide alone; linewarden build"
    for engine in (None, "openvino", "triton"):
        with pytest.raises(EngineError, match=reason):
            chosen_here(bundle, engine, INT8)
    chosen, remarks = artefacts_here(bundle, None)
    assert list(chosen) == ["model.onnx"]
    assert remarks == [
        f"{INT8}: not run, it is for linewarden build alone, which proves it before the FP32 graph"
    ]
    built = build(bundle, {INT8: 1.0, "": 4.0})
    assert built.record.first is not None
    assert built.record.first.artefact == INT8
    assert [run.wrong for run in runs_of_choice(bundle, golden_frames(bundle))] == [(), ()]


def test_thresholds_of_a_lower_precision_hold_for_their_engine_alone(
    bundle: Bundle, tmp_path: Path
) -> None:
    bundle = golden_bundle.with_artefacts(bundle, {INT8: golden_bundle.artefact("int8")})
    images = good_images(tmp_path / "good", 3)
    settings = CalibrationSettings(engine="openvino", artefact=INT8)
    measured = calibrate(bundle, images, CalibrationTargets(0.01), settings).calibration
    assert measured.engine == "openvino"
    Inspector.open(bundle, engine="openvino", artefact=INT8).close()
    with pytest.raises(BundleError, match=f"through {INT8} on openvino, and onnxruntime rounds"):
        Inspector.open(bundle, artefact=INT8)


def test_the_golden_frames_run_on_the_engine_of_each_file(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = "model.int8.openvino.onnx"
    bundle = golden_bundle.with_artefacts(bundle, {own: golden_bundle.artefact("int8", "openvino")})
    assert artefacts_here(bundle, None)[0] == {"model.onnx": "onnxruntime", own: "openvino"}
    on_triton = dict.fromkeys(("model.onnx", own), "triton")
    assert artefacts_here(bundle, "triton")[0] == on_triton
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.delitem(sys.modules, "inspection.engine.openvino", raising=False)
    chosen, remarks = artefacts_here(bundle, None)
    assert list(chosen) == ["model.onnx"]
    assert [remark.partition(": not run, ")[0] for remark in remarks] == [own]


def test_a_new_build_takes_the_place_of_the_old_one(bundle: Bundle) -> None:
    build(bundle, FASTEST_BF16)
    build(bundle, FASTEST_OPENVINO)
    assert bundle.cpu_records() == [FP32]


def test_thresholds_are_those_of_the_fp32_graph(bundle: Bundle, tmp_path: Path) -> None:
    images = good_images(tmp_path / "good", 3)
    before = calibrate(bundle, images, CalibrationTargets(0.01)).calibration
    build(bundle, FASTEST_BF16)
    with Inspector.open(bundle) as inspector:  # the build changes no threshold
        assert inspector.identity.thresholds == before.thresholds
    after = calibrate(bundle, images, CalibrationTargets(0.01)).calibration
    assert after.artefact == "model.onnx"
    assert after.scores == pytest.approx(before.scores)


def test_a_file_in_fp32_for_one_engine_has_the_thresholds_of_the_reference(
    bundle: Bundle, tmp_path: Path
) -> None:
    own = "model.openvino.onnx"
    bundle = golden_bundle.with_artefacts(bundle, {own: golden_bundle.artefact("fp32", "openvino")})
    build(bundle, FASTEST_OPENVINO)
    images = good_images(tmp_path / "good", 3)
    assert calibrate(bundle, images, CalibrationTargets(0.01)).calibration.artefact == "model.onnx"
    for artefact in (None, own, "model.onnx"):
        Inspector.open(bundle, artefact=artefact).close()


def test_thresholds_in_fp32_hold_on_every_machine(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    build(bundle, FASTEST_OPENVINO)
    result = calibrate(bundle, good_images(tmp_path / "good", 3), CalibrationTargets(0.01))
    assert result.calibration.artefact == "model.onnx"
    other = processors.PLAIN.model_copy(update={"model": "Other CPU"})
    processors.use(monkeypatch, other)
    with Inspector.open(bundle) as inspector:
        assert inspector.engine_name == "onnxruntime"


@pytest.mark.parametrize(
    ("processor", "difference"),
    [
        (processors.PLAIN, "without avx512_bf16 here"),
        (
            processors.WITH_BF16.model_copy(
                update={"flags": (*processors.WITH_BF16.flags, "amx_bf16")}
            ),
            "with amx_bf16 here",
        ),
        (
            processors.WITH_BF16.model_copy(update={"machine": "aarch64"}),
            "machine: built x86_64, here aarch64",
        ),
        (
            processors.WITH_BF16.model_copy(update={"model": "plain cpu"}),
            "processor: built Plain CPU, here plain cpu",
        ),
    ],
)
def test_the_record_of_another_processor_is_refused(
    processor: object, difference: str, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(bundle, FASTEST_BF16)
    processors.use(monkeypatch, processor)  # type: ignore[arg-type]
    with pytest.raises(EngineError, match=f"for another machine \\({difference}\\): linewarden"):
        Inspector.open(bundle)


def test_an_older_engine_is_refused_and_a_newer_one_is_not(bundle: Bundle) -> None:
    build(bundle, FASTEST_BF16)
    edit_exact(bundle, engine_version="9999.1.0")
    with pytest.raises(EngineError, match=r"openvino: built 9999\.1\.0, here the older 20"):
        open_engine(bundle)
    edit_exact(bundle, engine_version="2024.9.9")
    open_engine(bundle).close()


def test_a_missing_engine_is_refused(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    build(bundle, FASTEST_BF16)
    monkeypatch.delitem(sys.modules, "inspection.engine.openvino")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(EngineError) as raised:
        open_engine(bundle)
    assert str(raised.value) == (
        f"{bundle.folder / BF16}: was proven on an engine that does not run here: engine "
        "'openvino' needs the package openvino, and it is not installed: pip install "
        "'linewarden[openvino]'; or choose among those that do: linewarden build "
        f"{bundle.folder}"
    )


def test_an_edited_record_is_refused(bundle: Bundle) -> None:
    build(bundle, FASTEST_BF16)
    path = bundle.folder / BF16
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "threads": 3}))
    with pytest.raises(BundleError, match="the cpu record was changed after it was written: linew"):
        open_engine(bundle)


def test_a_moved_record_is_refused(bundle: Bundle) -> None:
    build(bundle, FASTEST_BF16)
    (bundle.folder / BF16).parent.rename((bundle.folder / FP32).parent)
    with pytest.raises(BundleError, match=f"belongs in {BF16} and was moved"):
        open_engine(bundle)


def test_the_record_of_another_artefact_is_refused(bundle: Bundle) -> None:
    build(bundle, FASTEST_BF16)
    edit_exact(bundle, artefact_sha256="0" * 64)
    with pytest.raises(BundleError, match=r"was made for model\.onnx \(000000000000\)"):
        open_engine(bundle)


def test_a_named_engine_or_artefact_runs_alone(bundle: Bundle) -> None:
    build(bundle, FASTEST_BF16)
    assert chosen_here(bundle, engine="openvino") == Chosen("openvino", "model.onnx")
    assert chosen_here(bundle, artefact="model.onnx") == Chosen("onnxruntime", "model.onnx")
    with pytest.raises(BundleError, match=f"has no artefact '{BF16}'; it holds"):
        open_engine(bundle, artefact=BF16)


def test_the_golden_frames_run_through_both_stages(bundle: Bundle) -> None:
    frames = golden_frames(bundle)
    assert not list(runs_of_choice(bundle, frames))
    build(bundle, FASTEST_BF16)
    runs = list(runs_of_choice(bundle, frames))
    assert [(run.artefact, run.engine, run.wrong) for run in runs] == [
        (BF16, "openvino, first stage", ()),
        (BF16, "openvino", ()),
    ]


def test_a_key_of_the_machine_covers_the_record(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    build(bundle, FASTEST_BF16)
    own_key(monkeypatch, tmp_path / "keys")
    with pytest.raises(BundleError, match=r"model\.cpu\.json"):
        chosen_here(open_bundle(bundle.folder))
    assert BF16 in adopt(open_bundle(bundle.folder))
    assert chosen_here(open_bundle(bundle.folder)).first is not None


def test_a_build_without_a_choice_has_no_purpose(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert has_choice(bundle)
    monkeypatch.setattr(cpu_build, "_missing", lambda one: one.engine == "openvino")
    assert not has_choice(bundle)


def test_a_comparison_times_what_a_build_refuses_and_writes_nothing(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_proof, "_beyond_budget", lambda one, _: "no" * (one.compute == "bf16"))
    before = sorted(bundle.folder.rglob("*"))
    stopwatch = processors.Stopwatch(FASTEST_BF16)
    found = compare_on_processor(bundle, CpuBuildSettings(times_all=True), stopwatch=stopwatch)
    assert [trial.median_ms for trial in found.record.trials] == [5.0, 4.0, 1.0]
    assert found.first is found.exact
    assert found.exact.engine == found.record.exact.engine == "openvino"
    assert [(one.compute, one.remark) for one in found.refused] == [("bf16", "no")]
    assert sorted(bundle.folder.rglob("*")) == before
