"""The engine and artefact that a machine runs: those of the user, else those of the build."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from inspection.bundle.bundle import REFERENCE_ARTEFACT, Bundle
from inspection.bundle.manifest import Artefact
from inspection.engine import engine_class
from inspection.engine.cpu_record import (
    Compute,
    CpuEngine,
    FirstStage,
    precision_name,
    require_here,
)
from inspection.engine.processor import Processor, processor_here
from inspection.engine.sidecar import PLAN, runtime_of
from inspection.errors import EngineError

DEFAULT_ENGINE = "onnxruntime"


@dataclass(frozen=True)
class Chosen:
    """What to open.

    Attributes:
        engine: name in `inspection.engine.ENGINES`.
        artefact: file of the manifest, or a plan.
        compute: precision of the operations in floating point.
        first: stage that passes clearly good parts before this one sees them; None for none.
    """

    engine: str
    artefact: str
    compute: Compute = "fp32"
    first: FirstStage | None = None

    @property
    def described(self) -> str:
        """Returns its engines in words, in the order in which they see a part."""
        if self.first is None:
            return self.engine
        first = f"{self.first.artefact} on {self.first.engine} in {self.first.compute}"
        return f"{first}, then {self.engine}"


def chosen_here(bundle: Bundle, engine: str | None = None, artefact: str | None = None) -> Chosen:
    """Decides what this machine runs.

    Without `engine` and `artefact` it is what `linewarden build` kept for this processor. A bundle
    that was never built for it runs its FP32 graph on ONNX Runtime. An artefact alone runs on the
    engine that it is made for.

    Args:
        engine, artefact: the user's choice; None for none.

    Raises:
        BundleError: a record of this processor was changed.
        EngineError: a record belongs to another machine, or its engine is missing or older; this
            processor would score otherwise than export did; the artefact must not decide alone.
    """
    if artefact is None and engine is None:
        built = bundle.cpu_records(processor_here().folder)
        if built:
            return _recorded(bundle, built[0])
    artefact = artefact or REFERENCE_ARTEFACT
    return _unproven(bundle, engine or engine_of(bundle, artefact), artefact)


def engine_of(bundle: Bundle, artefact: str) -> str:
    """Returns the engine that an artefact is made for; ONNX Runtime for a file that many read."""
    if artefact.endswith(PLAN):
        return runtime_of(artefact)
    listed = bundle.manifest.artefacts.get(artefact)
    is_for_processor = listed is not None and listed.engine in get_args(CpuEngine)
    return listed.engine if listed is not None and is_for_processor else DEFAULT_ENGINE


def computed_precision(bundle: Bundle, chosen: Chosen) -> str:
    """Returns the precision that a choice computes in; that of its file where it is not known here.

    ONNX Runtime and OpenVINO compute the float16 operations of a file in float32, or in BF16.

    Raises:
        BundleError: a plan does not match its sidecar.
    """
    sidecar = bundle.sidecar(chosen.artefact)
    if sidecar is not None:
        return sidecar.precision
    listed = bundle.manifest.artefacts.get(chosen.artefact)
    precision = "fp32" if listed is None else listed.precision
    if chosen.engine not in get_args(CpuEngine):
        return precision
    return precision_name(chosen.compute, is_int8=precision == "int8")


def obstacle_on(processor: Processor, artefact: Artefact) -> str:
    """Returns why a processor would score otherwise than export did; empty when it would not."""
    is_full_range = artefact.precision == "int8" and artefact.engine == "openvino"
    if is_full_range and not processor.sums_int8_in_32_bits:
        return "its weights of 8 bits need a processor with VNNI"
    return ""


def require_decides(bundle: Bundle, artefact: str) -> None:
    """Raises EngineError for an artefact that must not decide alone."""
    listed = bundle.manifest.artefacts.get(artefact)
    if listed is not None and listed.parity is not None and not listed.decides:
        raise EngineError(
            f"{bundle.folder}: {artefact} flipped {listed.parity.verdict_flips} of "
            f"{listed.parity.frames} verdicts at export and must not decide alone; linewarden "
            f"build {bundle.folder} uses it before the FP32 graph where that is faster"
        )


def _unproven(bundle: Bundle, engine: str, artefact: str) -> Chosen:
    """Returns the choice of a file that no build has proven on this processor."""
    require_decides(bundle, artefact)
    listed = bundle.manifest.artefacts.get(artefact)
    obstacle = "" if listed is None else obstacle_on(processor_here(), listed)
    if obstacle:
        raise EngineError(
            f"{bundle.folder}: {artefact} gives other scores here: {obstacle}; this chooses what "
            f"runs here: linewarden build {bundle.folder}"
        )
    return Chosen(engine, artefact)


def _recorded(bundle: Bundle, name: str) -> Chosen:
    """Returns the choice of a record, which must fit this machine."""
    record = bundle.cpu_record(name)
    for stage in record.stages:
        try:
            engine_class(stage.engine)
        except EngineError as error:
            raise EngineError(
                f"{bundle.folder / name}: was proven on an engine that does not run here: {error}; "
                f"or choose among those that do: linewarden build {bundle.folder}"
            ) from error
    require_here(bundle.folder / name, record, processor_here())
    return Chosen(record.exact.engine, record.exact.artefact, first=record.first)
