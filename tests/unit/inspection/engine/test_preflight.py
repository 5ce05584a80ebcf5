"""Tests the preflight checks on other machines than this one."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from inspection.engine.preflight import Check, Machine, engines_here, examine
from tests.doubles.installed import install, rtx_card
from tests.doubles.surface import RTX

JETPACK_6 = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n"
JETPACK_7 = "# R39 (release), REVISION: 2.0, GCID: 1, BOARD: generic\n"
JETPACK_5 = "# R35 (release), REVISION: 4.1, GCID: 1, BOARD: generic\n"
JETSON_NODES = ("nvmap", "nvhost-gpu", "nvhost-ctrl-gpu")
CARD_NODES = ("nvidia0", "nvidiactl", "nvidia-uvm")


def loads_all_but(*missing: str) -> Callable[[str], object]:
    def load(name: str) -> object:
        if name in missing or name.endswith(".so.11"):
            raise OSError(f"{name}: cannot open shared object file")
        return object()

    return load


def machine(
    root: Path,
    *,
    l4t: str | None = None,
    nodes: tuple[str, ...] = (),
    driver: bool = False,
    load: Callable[[str], object] | None = None,
    groups: frozenset[str] = frozenset({"video", "render"}),
) -> Machine:
    (root / "dev").mkdir()
    for node in nodes:
        (root / "dev" / node).touch()
    if l4t is not None:
        (root / "etc").mkdir()
        (root / "etc/nv_tegra_release").write_text(l4t)
    if driver:
        (root / "proc/driver/nvidia").mkdir(parents=True)
        (root / "proc/driver/nvidia/version").write_text("NVRM version: 570.86\nGCC\n")
    return Machine(root=root, load=load or loads_all_but(), groups=groups, is_root=False)


def missing(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.mend for check in checks if not check.is_met}


def test_a_laptop_is_looked_at_for_onnxruntime_only(tmp_path: Path) -> None:
    assert engines_here(machine(tmp_path)) == ("onnxruntime",)


def test_a_jetson_with_everything_is_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    orin = machine(tmp_path, l4t=JETPACK_6, nodes=JETSON_NODES)
    assert engines_here(orin) == ("onnxruntime", "tensorrt")
    checks = examine(orin, tmp_path, engines_here(orin))
    assert missing(checks) == {}
    found = {check.name: check.found for check in checks}
    assert found["JetPack"] == "R36.4: JetPack 6.1 or 6.2, TensorRT 10.3"
    assert found["libnvinfer"] == "libnvinfer.so.10"
    assert found["Python package tensorrt"] == "tensorrt 10.3.0"
    assert found["CUDA device"].startswith("Simulated Orin, compute capability 8.7, CUDA 12060")


def test_a_card_with_everything_is_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "11.4", binding="pycuda")
    card = machine(tmp_path, nodes=CARD_NODES, driver=True, groups=frozenset())
    checks = examine(card, tmp_path, ("tensorrt",))
    assert missing(checks) == {}
    assert {check.name: check.found for check in checks}["NVIDIA driver"] == "NVRM version: 570.86"


def test_jetpack_6_without_the_dla_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch)
    load = loads_all_but("libnvdla_compiler.so")
    orin = machine(tmp_path, l4t=JETPACK_6, nodes=JETSON_NODES, load=load)
    assert missing(examine(orin, tmp_path, ("tensorrt",))) == {
        "libnvdla_compiler": (
            "apt install nvidia-l4t-dla-compiler: TensorRT of JetPack 6 does not load without it"
        )
    }


def test_jetpack_7_has_no_dla_compiler_and_needs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, "10.16")
    nodes = (*CARD_NODES, "nvmap")
    load = loads_all_but("libnvdla_compiler.so")
    thor = machine(tmp_path, l4t=JETPACK_7, nodes=nodes, load=load)
    assert missing(examine(thor, tmp_path, ("tensorrt",))) == {}


def test_jetpack_5_is_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    xavier = machine(tmp_path, l4t=JETPACK_5, nodes=JETSON_NODES)
    assert missing(examine(xavier, tmp_path, ("tensorrt",))) == {
        "JetPack": "Linewarden needs TensorRT 10.3: install JetPack 6.1 or later"
    }


def test_a_jetson_user_outside_the_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    orin = machine(tmp_path, l4t=JETPACK_6, nodes=JETSON_NODES, groups=frozenset({"render"}))
    (name, mend) = missing(examine(orin, tmp_path, ("tensorrt",))).popitem()
    assert name == "groups video and render"
    assert mend.startswith("not in: video; usermod --append --groups video,render USER")


def test_nothing_of_tensorrt_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("tensorrt", "cuda.bindings.runtime", "pycuda.driver"):
        monkeypatch.setitem(sys.modules, module, None)
    names = [f"lib{n}.so.10" for n in ("nvinfer", "nvinfer_plugin", "nvonnxparser")]
    bare = machine(tmp_path, load=loads_all_but(*names))
    found = missing(examine(bare, tmp_path, ("tensorrt",)))
    assert list(found) == [
        "NVIDIA driver",
        "device nodes",
        "libnvinfer",
        "libnvinfer_plugin",
        "libnvonnxparser",
        "Python package tensorrt",
        "CUDA device",
    ]
    assert found["device nodes"].startswith("missing: /dev/nvidia[0-9]*, /dev/nvidiactl, /dev/nv")
    assert "pip install tensorrt" in found["libnvinfer"]
    assert "needs the package cuda-python" in found["CUDA device"]


def test_a_pc_with_an_rtx_card_is_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, RTX)
    card = machine(tmp_path, nodes=CARD_NODES, driver=True, groups=frozenset())
    checks = examine(card, tmp_path, ("tensorrt-rtx",))
    assert missing(checks) == {}
    found = {check.name: check.found for check in checks if check.scope == "tensorrt-rtx"}
    assert found["Python package tensorrt_rtx_bindings"].startswith("TensorRT for RTX 1.7.1.116")
    assert found["RTX card"].startswith("Simulated RTX 4000 Ada, compute capability 8.9")
    assert found["proof on a card"] == "none yet but 'linewarden build --verify' here"


def test_a_card_of_a_data_centre_is_sent_to_tensorrt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, RTX, device=rtx_card(name="H100", compute_capability=(9, 0)))
    card = machine(tmp_path, nodes=CARD_NODES, driver=True, groups=frozenset())
    (name, mend) = missing(examine(card, tmp_path, ("tensorrt-rtx",))).popitem()
    assert name == "RTX card"
    assert "does not support H100" in mend
    assert "use the engine 'tensorrt'" in mend


def test_a_lost_device_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch).device.inject("cudaSetDevice", 999)
    card = machine(tmp_path, nodes=CARD_NODES, driver=True)
    found = missing(examine(card, tmp_path, ("tensorrt",)))
    assert "the GPU is lost to this process" in found["CUDA device"]


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    def absent(name: str) -> object:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    (tmp_path / "dev").mkdir()
    laptop = Machine(root=tmp_path, import_module=absent)
    found = missing(examine(laptop, tmp_path, ("onnxruntime", "openvino")))
    assert found["Python package onnxruntime"] == "pip install 'linewarden[onnxruntime]'"
    assert found["Python package openvino"] == "pip install 'linewarden[openvino]'"
