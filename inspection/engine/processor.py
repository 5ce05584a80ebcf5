"""Describes the processor of this machine: model, and the units that compute networks."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path

from inspection.trust.sealed import Strict

# Flags of Linux for units that compute neural networks, on x86-64 and on ARM. Flags in one row came
# with one level of oneDNN (https://uxlfoundation.github.io/oneDNN/dev_guide_cpu_dispatcher_control.html),
# which the variable below can hide from it.
_LEVELS: dict[str, frozenset[str]] = {
    "SSE41": frozenset(["sse4_1"]),
    "AVX": frozenset(["avx"]),
    "AVX2": frozenset(["avx2", "fma"]),
    "AVX2_VNNI": frozenset(["avx_vnni"]),
    "AVX2_VNNI_2": frozenset(["avx_vnni_int8", "avx_ne_convert"]),
    "AVX512_CORE": frozenset(["avx512f", "avx512bw", "avx512dq", "avx512vl"]),
    "AVX512_CORE_VNNI": frozenset(["avx512_vnni"]),
    "AVX512_CORE_BF16": frozenset(["avx512_bf16"]),
    "AVX512_CORE_FP16": frozenset(["avx512_fp16"]),
    "AVX512_CORE_AMX": frozenset(["amx_tile", "amx_bf16", "amx_int8"]),
    "AVX512_CORE_AMX_FP16": frozenset(["amx_fp16"]),
}
_ARM = frozenset(
    ["asimd", "asimdhp", "asimddp", "bf16", "i8mm", "sve", "sve2", "svebf16", "svei8mm"]
)
_X86 = frozenset(["x86_64", "AMD64", "i686"])
_HIDING = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
# OpenVINO computes in BF16 with any of them.
_BF16 = frozenset(["avx512_bf16", "amx_bf16"])
_VNNI = frozenset(["avx_vnni", "avx512_vnni", "amx_int8"])


class Processor(Strict):
    """The processor that an artefact was proven and timed on.

    Attributes:
        model: name of the processor, as the system reports it.
        machine: architecture, such as "x86_64".
        flags: its units that matter, sorted, as far as the environment lets engines use them.
    """

    model: str
    machine: str
    flags: tuple[str, ...]

    @property
    def folder(self) -> str:
        """Returns the folder name of this kind of processor under `engines/`."""
        name = re.sub(r"[^a-z0-9]+", "-", self.model.lower()).strip("-")
        return f"cpu-{name[:80] or 'unknown'}"

    @property
    def has_bf16(self) -> bool:
        """Returns True when engines on this processor can compute in BF16."""
        return not _BF16.isdisjoint(self.flags)

    @property
    def sums_int8_in_32_bits(self) -> bool:
        """Returns False when the sum of two products of 8 x 8 bits can overflow 16 bits.

        That is the instruction VPMADDUBSW of x86, which VNNI replaces.
        """
        return self.machine not in _X86 or not _VNNI.isdisjoint(self.flags)


def processor_here(
    root: Path = Path("/"), environment: Mapping[str, str] = os.environ
) -> Processor:
    """Describes the processor of this machine.

    Args:
        root: folder with proc/; a test passes another one.
        environment: variables of the process, some of which hide units from the engines.
    """
    fields = _first_processor(root / "proc/cpuinfo")
    machine = platform.machine()
    model = fields.get("model name") or _board(root) or platform.processor() or machine
    known = _ARM.union(*_LEVELS.values()) - _hidden(environment)
    found = (fields.get("flags") or fields.get("Features") or "").split()
    return Processor(model=model, machine=machine, flags=tuple(sorted(known.intersection(found))))


def _first_processor(cpuinfo: Path) -> dict[str, str]:
    """Returns the fields of the first processor; none on systems without the file."""
    if not cpuinfo.is_file():
        return {}
    first = cpuinfo.read_text(errors="replace").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _board(root: Path) -> str:
    """Returns the name of an ARM board, whose processors have numbers and no names."""
    path = root / "proc/device-tree/model"
    return path.read_text(errors="replace").strip("\0\n ") if path.is_file() else ""


def _hidden(environment: Mapping[str, str]) -> frozenset[str]:
    """Returns the flags of the levels above the highest that the environment allows."""
    highest = next((environment[name].upper() for name in _HIDING if environment.get(name)), "")
    levels = list(_LEVELS)
    if highest not in levels:
        return frozenset()
    return frozenset[str]().union(*(_LEVELS[n] for n in levels[levels.index(highest) + 1 :]))
