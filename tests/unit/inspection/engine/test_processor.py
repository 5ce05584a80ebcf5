"""Tests the description of a processor, from the files of other machines."""

from pathlib import Path

import pytest

from inspection.engine.processor import Processor, processor_here

XEON = (
    "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) Gold 6448Y\n"
    "flags\t\t: fpu sse4_1 avx avx2 fma avx512f avx512_vnni avx512_bf16 amx_tile amx_bf16 amx_int8"
    "\n\nprocessor\t: 1\nmodel name\t: another\nflags\t\t: fpu\n"
)


def machine(root: Path, cpuinfo: str, board: str = "") -> Path:
    (root / "proc/device-tree").mkdir(parents=True)
    (root / "proc/cpuinfo").write_text(cpuinfo)
    if board:
        (root / "proc/device-tree/model").write_text(board)
    return root


def test_a_processor_has_its_name_and_its_units(tmp_path: Path) -> None:
    found = processor_here(machine(tmp_path, XEON), {})
    assert found.model == "Intel(R) Xeon(R) Gold 6448Y"
    assert found.folder == "cpu-intel-r-xeon-r-gold-6448y"
    assert found.flags == (
        *("amx_bf16", "amx_int8", "amx_tile", "avx", "avx2"),
        *("avx512_bf16", "avx512_vnni", "avx512f", "fma", "sse4_1"),
    )
    assert found.has_bf16


@pytest.mark.parametrize(
    ("level", "has_bf16", "hidden"),
    [
        ("AVX512_CORE_AMX", True, ()),
        ("avx512_core_bf16", True, ("amx_bf16", "amx_int8", "amx_tile")),
        ("AVX512_CORE_VNNI", False, ("amx_bf16", "avx512_bf16")),
        ("AVX2", False, ("avx512f", "avx512_vnni")),
        ("DEFAULT", True, ()),
        ("", True, ()),
    ],
)
def test_units_that_the_environment_hides_are_not_there(
    level: str, has_bf16: bool, hidden: tuple[str, ...], tmp_path: Path
) -> None:
    root = machine(tmp_path, XEON)
    found = processor_here(root, {"ONEDNN_MAX_CPU_ISA": level})
    assert found.has_bf16 is has_bf16
    assert not set(hidden) & set(found.flags)
    assert "avx2" in found.flags


def test_an_arm_board_has_the_name_of_the_board(tmp_path: Path) -> None:
    cpuinfo = "processor\t: 0\nFeatures\t: fp asimd asimddp crc32\nCPU part\t: 0xd0b\n"
    found = processor_here(machine(tmp_path, cpuinfo, "Raspberry Pi 5 Model B\0"), {})
    assert found.folder == "cpu-raspberry-pi-5-model-b"
    assert found.flags == ("asimd", "asimddp")
    assert not found.has_bf16


def test_a_system_without_cpuinfo_has_a_processor_too(tmp_path: Path) -> None:
    found = processor_here(tmp_path, {})
    assert found.model
    assert found.flags == ()


@pytest.mark.parametrize("model", ["", "../../etc", "ä" * 300])
def test_a_folder_name_is_safe(model: str) -> None:
    folder = Processor(model=model, machine="x86_64", flags=()).folder
    assert folder.startswith("cpu-")
    assert "/" not in folder
    assert "." not in folder
    assert len(folder) < 100
