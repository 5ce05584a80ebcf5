"""The engine and artefact that a machine runs: those of the user, else those of the build."""

from __future__ import annotations

from dataclasses import dataclass

from inspection.bundle.bundle import REFERENCE_ARTEFACT, Bundle
from inspection.engine import engine_class
from inspection.engine.cpu_record import Compute, CpuRecord, engine_version, require_here
from inspection.engine.processor import processor_here
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
    that was never built for it runs its FP32 graph on ONNX Runtime.

    Args:
        engine: the user's choice; None for none.
        artefact: the user's choice: also the record of a processor, which names its engine.

    Raises:
        BundleError: a record of this processor was changed.
        EngineError: a record belongs to another machine, or its engine is missing or older.
    """
    if artefact is None and engine is None:
        built = bundle.cpu_records(processor_here().folder)
        artefact = built[0] if built else None
    record = None if artefact is None else bundle.cpu_record(artefact)
    if artefact is None or record is None:
        return Chosen(engine or DEFAULT_ENGINE, artefact or REFERENCE_ARTEFACT)
    if engine not in (None, record.engine):
        raise EngineError(
            f"{bundle.folder}: {artefact} was proven with the engine {record.engine!r} alone: "
            f"leave out the engine {engine!r}"
        )
    return _recorded(bundle, artefact, record)


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
