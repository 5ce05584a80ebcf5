"""Tests that a plan is refused by name when it differs from its sidecar or from this machine."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from inspection.bundle import Bundle, open_bundle
from inspection.engine.sidecar import (
    AccuracyGate,
    BuildSettings,
    Latency,
    Platform,
    Sidecar,
    Tensor,
    l4t_release,
    read_sidecar,
    sidecar_path,
    verify,
    write_sidecar,
)
from inspection.errors import BundleError, EngineError
from inspection.files import sha256_of
from inspection.trust.keys import Keys
from tests.doubles.keys import give_away

CONTENT = b"a plan"
HERE = Platform(
    runtime="tensorrt",
    tensorrt="10.3.0",
    cuda_driver=12060,
    cuda_runtime=12060,
    device="Orin (nvgpu)",
    compute_capability="8.7",
    multiprocessors=8,
    uuid="00" * 16,
    machine="aarch64",
    system="Linux",
    l4t=None,
)


def sidecar(**fields: Any) -> Sidecar:
    values: dict[str, Any] = {
        "linewarden_version": "0",
        "built_utc": "2026-01-01T00:00:00Z",
        "plan_sha256": hashlib.sha256(CONTENT).hexdigest(),
        "plan_bytes": len(CONTENT),
        "artefact": "model.onnx",
        "artefact_sha256": "0" * 64,
        "precision": "fp32",
        "bound_to": "model",
        "platform": HERE,
        "settings": BuildSettings(
            workspace_mib=1024, optimisation_level=3, tf32=False, seconds=1.0
        ),
        "io": (Tensor(name="input", mode="input", dtype="uint8", shape=(1, 8, 8, 3)),),
        "memory": "copied",
        "launch": "graph",
        "timings": {"copied, graph": Latency(runs=1, p50_ms=1.0, p99_ms=2.0)},
        "compared": {},
        "gate": AccuracyGate(
            frames=1,
            score=0.0,
            map=0.0,
            relative=0.0,
            tolerance=1e-3,
            verdict_flips=0,
            threshold=0.5,
        ),
        **fields,
    }
    return Sidecar(**values)


def put(bundle: Bundle, **fields: Any) -> str:
    """Writes a plan with its sidecar into a bundle; returns the name of the plan."""
    record = sidecar(**{"artefact_sha256": bundle.manifest.files["model.onnx"], **fields})
    name = f"engines/{HERE.folder}/fp32/model.plan"
    plan = bundle.folder / name
    plan.parent.mkdir(parents=True)
    plan.write_bytes(CONTENT)
    write_sidecar(plan, record)
    return name


def test_what_is_written_is_read(tmp_path: Path) -> None:
    plan = tmp_path / "model.plan"
    write_sidecar(plan, sidecar())
    assert read_sidecar(plan) == sidecar().sealed()
    verify(plan, CONTENT, read_sidecar(plan), HERE)


def test_the_folder_names_the_kind_of_device() -> None:
    assert HERE.folder == "orin-nvgpu-sm87-8mp"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("tensorrt", "10.16.2", "TensorRT: built 10.3.0, here 10.16.2"),
        ("device", "Thor", "device: built Orin (nvgpu), here Thor"),
        ("compute_capability", "9.0", "compute capability: built 8.7, here 9.0"),
        ("multiprocessors", 16, "multiprocessors: built 8, here 16"),
        ("machine", "x86_64", "machine: built aarch64, here x86_64"),
        ("system", "Windows", "system: built Linux, here Windows"),
        ("cuda_runtime", 13020, "CUDA runtime: built 12, here 13"),
        ("cuda_driver", 12040, "CUDA driver: built 12060, here the older 12040"),
    ],
)
def test_each_difference_of_the_machine_is_named(field: str, value: object, message: str) -> None:
    plan = Path("b/engines/orin/fp32/model.plan")
    elsewhere = HERE.model_copy(update={field: value})
    expected = (
        f"{plan}: was built for another machine ({message}): "
        "linewarden build b --artefact model.onnx"
    )
    with pytest.raises(EngineError, match=f"^{re.escape(expected)}$"):
        verify(plan, CONTENT, sidecar(), elsewhere)


def test_several_differences_are_named_together() -> None:
    elsewhere = HERE.model_copy(update={"tensorrt": "11.4.0", "machine": "x86_64"})
    with pytest.raises(EngineError, match=r"TensorRT: .*; machine: "):
        verify(Path("model.plan"), CONTENT, sidecar(), elsewhere)


@pytest.mark.parametrize(
    ("field", "value"),
    [("cuda_driver", 13000), ("cuda_runtime", 12090), ("l4t", "R36"), ("uuid", "x")],
)
def test_a_newer_driver_and_a_device_of_the_same_kind_are_fine(field: str, value: object) -> None:
    verify(Path("model.plan"), CONTENT, sidecar(), HERE.model_copy(update={field: value}))


def test_a_plan_bound_to_its_device_runs_on_no_other() -> None:
    other = HERE.model_copy(update={"uuid": "11" * 16})
    with pytest.raises(EngineError, match="device UUID: built 0000"):
        verify(Path("model.plan"), CONTENT, sidecar(bound_to="device"), other)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CONTENT[:-1], "has 5 bytes and 6 were built (truncated, or from another build)"),
        (b"", "has 0 bytes and 6 were built (truncated, or from another build)"),
        (b"a Plan", "is not what was built (SHA-256 "),
    ],
)
def test_other_bytes_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(BundleError, match=re.escape(message)):
        verify(Path("model.plan"), content, sidecar(), HERE)


def test_a_missing_sidecar_names_the_command(tmp_path: Path) -> None:
    plan = tmp_path / "b/engines/orin/fp32/model.plan"
    with pytest.raises(
        BundleError, match=rf"model\.plan\.json: cannot be read .*build {tmp_path}/b"
    ):
        read_sidecar(plan)


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b'{"schema_version": 1}', b"\xff\xfe"])
def test_a_damaged_sidecar_is_refused(content: bytes, tmp_path: Path) -> None:
    plan = tmp_path / "model.plan"
    sidecar_path(plan).write_bytes(content)
    with pytest.raises(BundleError, match="is not a sidecar of schema 3"):
        read_sidecar(plan)


def test_an_edited_value_breaks_the_seal(tmp_path: Path) -> None:
    plan = tmp_path / "model.plan"
    write_sidecar(plan, sidecar())
    record = json.loads(sidecar_path(plan).read_text())
    record["gate"]["verdict_flips"] = 1
    sidecar_path(plan).write_text(json.dumps(record))
    with pytest.raises(BundleError, match="the sidecar was changed after it was written"):
        read_sidecar(plan)


def test_a_bundle_finds_a_plan_through_its_sidecar(tiny_bundle: Bundle) -> None:
    name = put(tiny_bundle)
    bundle = open_bundle(tiny_bundle.folder)
    assert bundle.file(name) == tiny_bundle.folder / name
    assert bundle.sha256(name) == sha256_of(tiny_bundle.folder / name)
    assert bundle.sha256("model.onnx") == bundle.manifest.files["model.onnx"]


def test_a_bundle_refuses_a_plan_of_an_older_artefact(tiny_bundle: Bundle) -> None:
    name = put(tiny_bundle, artefact_sha256="a" * 64)
    with pytest.raises(
        BundleError, match=r"was built from model\.onnx \(aaaaaaaaaaaa\), and the bund"
    ):
        tiny_bundle.file(name)


def test_a_bundle_refuses_a_plan_of_a_file_it_does_not_have(tiny_bundle: Bundle) -> None:
    name = put(tiny_bundle, artefact="model.fp16.onnx")
    with pytest.raises(BundleError, match="the bundle has no such file: linewarden build"):
        tiny_bundle.file(name)


def test_a_bundle_refuses_a_plan_that_was_moved(tiny_bundle: Bundle) -> None:
    name = put(tiny_bundle, precision="fp16")
    with pytest.raises(BundleError, match=r"belongs in engines/orin-nvgpu-sm87-8mp/fp16 and was"):
        tiny_bundle.file(name)


def test_a_bundle_refuses_swapped_plans(tiny_bundle: Bundle) -> None:
    name = put(tiny_bundle)
    (tiny_bundle.folder / name).write_bytes(b"b plan")
    with pytest.raises(BundleError, match="is not what was built"):
        tiny_bundle.file(name)


def test_a_bundle_has_no_engine_that_nobody_built(tiny_bundle: Bundle) -> None:
    with pytest.raises(
        BundleError, match=r"has no engine 'engines/x/fp16/model\.plan': linewarden"
    ):
        tiny_bundle.file("engines/x/fp16/model.plan")


def test_an_engine_outside_the_bundle_is_refused(tiny_bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="leaves the bundle"):
        tiny_bundle.file("engines/../../elsewhere/model.plan")


def test_the_jetson_release_is_read_without_its_date(tmp_path: Path) -> None:
    path = tmp_path / "nv_tegra_release"
    assert l4t_release(path) is None
    path.write_text("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n# KERNEL\n")
    assert l4t_release(path) == "R36 (release), REVISION: 4.3"


def test_a_machine_with_a_key_takes_its_own_sidecars_alone(tmp_path: Path) -> None:
    plan = tmp_path / "model.plan"
    here, there = Keys(device=b"h" * 32), Keys(device=b"t" * 32)
    write_sidecar(plan, sidecar(), here)
    assert read_sidecar(plan, here).is_vouched(b"h" * 32)
    for keys in (Keys(), there):
        write_sidecar(plan, sidecar(), keys)
        with pytest.raises(BundleError, match="covers this sidecar: linewarden build BUNDLE"):
            read_sidecar(plan, here)


def test_a_machine_that_trusts_signed_bundles_takes_no_engine_without_a_key_of_its_own(
    tmp_path: Path,
) -> None:
    plan = tmp_path / "model.plan"
    write_sidecar(plan, sidecar(), Keys())
    trusting = Keys(trusted={"0" * 16: None})  # type: ignore[dict-item]
    with pytest.raises(BundleError, match="covers this sidecar"):
        read_sidecar(plan, trusting)


@pytest.mark.parametrize("what", [".", "model.plan", "model.plan.json"])
@pytest.mark.parametrize("mode", [0o720, 0o702])
def test_a_plan_that_others_could_have_written_needs_a_key(
    what: str, mode: int, tmp_path: Path
) -> None:
    plan = tmp_path / "engine/model.plan"
    plan.parent.mkdir()
    plan.write_bytes(CONTENT)
    for keys in (Keys(), Keys(device=b"k" * 32)):
        write_sidecar(plan, sidecar(), keys)
        read_sidecar(plan, keys)
        (plan.parent / what).chmod(mode)
        if keys.device:
            read_sidecar(plan, keys)
            continue
        with pytest.raises(BundleError, match="another user could have written it, and a plan is"):
            read_sidecar(plan, keys)


def test_the_plan_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = tmp_path / "model.plan"
    plan.write_bytes(CONTENT)
    write_sidecar(plan, sidecar(), Keys())
    give_away(monkeypatch, plan)
    with pytest.raises(BundleError, match="another user could have written it"):
        read_sidecar(plan, Keys())
