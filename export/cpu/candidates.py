"""The combinations of engine, artefact and precision that a processor may run."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple, get_args

from export.precision.outcome import BF16_BUDGET, FP32_BUDGET, INT8_BUDGET, Budget
from inspection.bundle import REFERENCE_ARTEFACT, Bundle, obstacle_on
from inspection.engine.cpu_record import Compute, CpuEngine, precision_name
from inspection.engine.graph_file import GRAPH_SUFFIX
from inspection.engine.processor import Processor
from inspection.errors import BundleError

_ENGINES = frozenset(get_args(CpuEngine))


@dataclass(frozen=True)
class Candidate:
    """A way to run a bundle on a processor.

    Attributes:
        artefact: ONNX file of the bundle.
        is_int8: True when the artefact computes its convolutions in INT8.
        compute: precision of the operations in floating point.
        obstacle: reason for which this processor cannot run it; empty when there is none.
    """

    engine: CpuEngine
    artefact: str
    is_int8: bool
    compute: Compute
    obstacle: str = ""

    @property
    def precision(self) -> str:
        """Returns the name of its precision: "fp32", "bf16", "int8" or "int8-bf16"."""
        return precision_name(self.compute, is_int8=self.is_int8)

    @property
    def is_exact(self) -> bool:
        """Returns True for the FP32 graph, in any form: it decides, and all others pass only."""
        return self.precision == "fp32"

    @property
    def budget(self) -> Budget:
        """Returns the largest difference that it may have from the checkpoint."""
        if self.is_int8:
            return INT8_BUDGET
        return FP32_BUDGET if self.compute == "fp32" else BF16_BUDGET

    @property
    def title(self) -> str:
        """Returns its name in messages."""
        return f"{self.engine} {self.artefact} {self.compute}"


def candidates_for(
    bundle: Bundle, processor: Processor, only: Collection[str] = ()
) -> list[Candidate]:
    """Returns the candidates, the more precise first, whether or not their engines are installed.

    Args:
        only: ONNX files of the bundle to try beside the FP32 graph; empty for all that a processor
            may run.

    Raises:
        BundleError: the bundle has no such file, or it is not for processors.
    """
    artefacts = {file.name: file for file in _files(bundle, processor)}
    unknown = sorted(set(only) - artefacts.keys())
    if unknown:
        raise BundleError(
            f"{bundle.folder}: has no artefact {unknown[0]!r} for a processor; it has "
            f"{', '.join(artefacts)}"
        )
    found = [
        Candidate(engine, name, file.is_int8, compute, file.obstacle)
        for name, file in artefacts.items()
        for engine, compute in _ways(processor)
        if engine in file.engines
    ]
    order = ("fp32", "bf16", "int8", "int8-bf16")
    return sorted(
        (one for one in found if not only or one.is_exact or one.artefact in only),
        key=lambda candidate: order.index(candidate.precision),
    )


class _File(NamedTuple):
    """An ONNX file that a processor gains from, and the engines to try it on."""

    name: str
    is_int8: bool = False
    engines: frozenset[str] = _ENGINES
    obstacle: str = ""


def _files(bundle: Bundle, processor: Processor) -> Iterator[_File]:
    files = {n: a for n, a in bundle.manifest.artefacts.items() if n.endswith(GRAPH_SUFFIX)}
    # An FP32 file for one engine is the reference in the form that this engine is faster with.
    served = {artefact.engine for artefact in files.values() if artefact.precision == "fp32"}
    yield _File(REFERENCE_ARTEFACT, engines=_ENGINES - served)
    for name, artefact in files.items():
        if artefact.precision != "fp16":
            # A file for a device is tried on all engines; one for a processor fits its own alone.
            engines = frozenset([artefact.engine]) & _ENGINES or _ENGINES
            is_int8 = artefact.precision == "int8"
            yield _File(name, is_int8, engines, obstacle_on(processor, artefact))


def _ways(processor: Processor) -> Iterator[tuple[CpuEngine, Compute]]:
    yield "onnxruntime", "fp32"
    yield "openvino", "fp32"
    if processor.has_bf16:
        yield "openvino", "bf16"
