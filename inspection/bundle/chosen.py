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
    CpuRecord,
    engine_version,
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
        artefact: name in the bundle that thresholds are bound to: a file of the manifest, a plan,
            or the record of a processor.
        compute: precision of the operations in floating point.
    """

    engine: str
    artefact: str
    compute: Compute = "fp32"


def chosen_here(bundle: Bundle, engine: str | None = None, artefact: str | None = None) -> Chosen:
    """Decides what this machine runs.

    Without `engine` and `artefact` it is what `linewarden build` kept for this processor. A bundle
    that was never built for it runs its FP32 graph on ONNX Runtime. An artefact alone runs on the
    engine that it is made for.

    Args:
        engine: the user's choice; None for none.
        artefact: the user's choice: also the record of a processor, which names its engine.

    Raises:
        BundleError: a record of this processor was changed.
        EngineError: a record belongs to another machine, or its engine is missing or older; this
            processor would score otherwise than export did.
    """
    if artefact is None and engine is None:
        built = bundle.cpu_records(processor_here().folder)
        artefact = built[0] if built else None
    record = None if artefact is None else bundle.cpu_record(artefact)
    if artefact is None or record is None:
        artefact = artefact or REFERENCE_ARTEFACT
        return _unproven(bundle, engine or engine_of(bundle, artefact), artefact)
    if engine not in (None, record.engine):
        raise EngineError(
            f"{bundle.folder}: {artefact} was proven with the engine {record.engine!r} alone: "
            f"leave out the engine {engine!r}"
        )
    return _recorded(bundle, artefact, record)


def engine_of(bundle: Bundle, artefact: str) -> str:
    """Returns the engine that an artefact is made for; ONNX Runtime for a file that many read."""
    record = bundle.cpu_record(artefact)
    if record is not None:
        return record.engine
    if artefact.endswith(PLAN):
        return runtime_of(artefact)
    listed = bundle.manifest.artefacts.get(artefact)
    is_for_processor = listed is not None and listed.engine in get_args(CpuEngine)
    return listed.engine if listed is not None and is_for_processor else DEFAULT_ENGINE


def obstacle_on(processor: Processor, artefact: Artefact) -> str:
    """Returns why a processor would score otherwise than export did; empty when it would not."""
    is_full_range = artefact.precision == "int8" and artefact.engine == "openvino"
    if is_full_range and not processor.sums_int8_in_32_bits:
        return "its weights of 8 bits need a processor with VNNI"
    return ""


def _unproven(bundle: Bundle, engine: str, artefact: str) -> Chosen:
    """Returns the choice of a file that no build has proven on this processor."""
    listed = bundle.manifest.artefacts.get(artefact)
    obstacle = "" if listed is None else obstacle_on(processor_here(), listed)
    if obstacle:
        raise EngineError(
            f"{bundle.folder}: {artefact} gives other scores here: {obstacle}; this chooses what "
            f"runs here: linewarden build {bundle.folder}"
        )
    return Chosen(engine, artefact)


def _recorded(bundle: Bundle, name: str, record: CpuRecord) -> Chosen:
    """Returns the choice of a record that fits this machine.

    In FP32 it is the artefact itself, so that thresholds hold on every machine.
    """
    try:
        engine_class(record.engine)
    except EngineError as error:
        raise EngineError(
            f"{bundle.folder / name}: was proven on an engine that does not run here: {error}; or "
            f"choose among those that do: linewarden build {bundle.folder}"
        ) from error
    version = engine_version(record.engine)
    require_here(bundle.folder / name, record, processor_here(), version)
    is_exact = record.compute == "fp32"
    return Chosen(record.engine, record.artefact if is_exact else name, record.compute)
