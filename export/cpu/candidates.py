"""The combinations of engine, artefact and precision that a processor may run."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from export.precision.outcome import INT8_BUDGET, Budget
from inspection.bundle import REFERENCE_ARTEFACT, Bundle
from inspection.engine.cpu_record import Compute, CpuEngine
from inspection.engine.processor import Processor
from inspection.errors import BundleError

# The FP32 graph may differ by rounding only. A map that jumps may do so anywhere, and the self-test
# of the line judges it. INT8 and BF16 keep 8 bits of a value.
FP32_BUDGET = Budget(good=1e-2, score=1e-3, map=INT8_BUDGET.map)


@dataclass(frozen=True)
class Candidate:
    """A way to run a bundle on a processor.

    Attributes:
        artefact: ONNX file of the bundle.
        is_int8: True when the artefact computes its convolutions in INT8.
        compute: precision of the operations in floating point.
    """

    engine: CpuEngine
    artefact: str
    is_int8: bool
    compute: Compute

    @property
    def precision(self) -> str:
        """Returns the name of its precision: "fp32", "bf16", "int8" or "int8-bf16"."""
        if not self.is_int8:
            return self.compute
        return "int8" if self.compute == "fp32" else f"int8-{self.compute}"

    @property
    def budget(self) -> Budget:
        """Returns the largest difference that it may have from the checkpoint."""
        return FP32_BUDGET if self.precision == "fp32" else INT8_BUDGET

    @property
    def title(self) -> str:
        """Returns its name in messages."""
        return f"{self.engine} {self.artefact} {self.compute}"


def candidates_for(
    bundle: Bundle, processor: Processor, only: Collection[str] = ()
) -> list[Candidate]:
    """Returns the candidates, the more precise first, whether or not their engines are installed.

    Args:
        only: ONNX files of the bundle; empty for all that a processor may run.

    Raises:
        BundleError: the bundle has no such file, or it is not for processors.
    """
    artefacts = dict(_artefacts(bundle))
    unknown = sorted(set(only) - artefacts.keys())
    if unknown:
        raise BundleError(
            f"{bundle.folder}: has no artefact {unknown[0]!r} for a processor; it has "
            f"{', '.join(artefacts)}"
        )
    found = [
        Candidate(engine, name, is_int8, compute)
        for name, is_int8 in artefacts.items()
        if not only or name in only
        for engine, compute in _ways(processor)
    ]
    order = ("fp32", "bf16", "int8", "int8-bf16")
    return sorted(found, key=lambda candidate: order.index(candidate.precision))


def _artefacts(bundle: Bundle) -> Iterator[tuple[str, bool]]:
    """Yields the ONNX files that a processor gains from, and True for those in INT8."""
    yield REFERENCE_ARTEFACT, False
    for name, artefact in bundle.manifest.artefacts.items():
        if artefact.precision == "int8" and name.endswith(".onnx"):
            yield name, True


def _ways(processor: Processor) -> Iterator[tuple[CpuEngine, Compute]]:
    yield "onnxruntime", "fp32"
    yield "openvino", "fp32"
    if processor.has_bf16:
        yield "openvino", "bf16"
