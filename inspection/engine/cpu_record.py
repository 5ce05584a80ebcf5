"""The record of what `linewarden build` kept for a processor: one stage, or a cascade of two.

The FP32 graph decides, on the engine that is fastest with it. A first stage in lower precision may
go before it: it passes the parts that are clearly good, and the FP32 graph looks at all others. So
thresholds are in units of FP32 on every machine, and a verdict differs from its own only where the
first stage errs by more than its margin (the cascade of Viola and Jones, CVPR 2001, with two
stages)::

    BUNDLE/engines/<processor>/<precision>/model.cpu.json

A bundle has one record for each kind of processor, and that is the default there. A graph computes
in BF16 only where such a record says so. The record is sealed, and vouched for by the device key
like the sidecar of a plan.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from inspection.engine.processor import Processor
from inspection.engine.sidecar import ENGINES_FOLDER, AccuracyGate
from inspection.errors import BundleError, EngineError
from inspection.files import write_text
from inspection.trust.keys import Keys
from inspection.trust.sealed import Sha256, Strict, Vouched, read_sealed

CPU_RECORD = "model.cpu.json"

CpuEngine = Literal["onnxruntime", "openvino"]
Compute = Literal["fp32", "bf16"]


class Trial(Strict):
    """A candidate that the build tried.

    Attributes:
        compute: precision of the operations that the graph has in floating point.
        median_ms: median time of one inference, one after the other; None when it was not timed.
        after_gap_ms: the same, each after an idle gap.
        second_look: share of the frames of good parts that it would leave to the FP32 graph; None
            for the FP32 graph, and when it did not run.
        verdict_flips: frames that would get another verdict from it alone; None when it did not
            run.
        good: largest score difference of a good image, as a share of the spread of their scores.
        score: largest score difference of any frame, as a share of the spread of all scores.
        remark: reason for which it was kept or not.
    """

    engine: CpuEngine
    artefact: str
    compute: Compute
    median_ms: float | None = None
    after_gap_ms: float | None = None
    second_look: float | None = None
    verdict_flips: int | None = None
    good: float | None = None
    score: float | None = None
    remark: str


class Stage(Strict):
    """An artefact on an engine.

    Attributes:
        engine_version: version of the engine's package.
        artefact: ONNX file of the bundle.
        compute: precision of the operations that the graph has in floating point.
        gate: comparison with the checkpoint on golden frames and good images; its relative
            difference is the score's, as a share of the spread of all scores.
    """

    engine: CpuEngine
    engine_version: str
    artefact: str
    artefact_sha256: Sha256
    compute: Compute
    gate: AccuracyGate


class Margin(Strict):
    """From where on a first stage passes a part, in raw units of the score.

    Attributes:
        width: distance that a part keeps from a threshold.
        seen_to: highest score, by the FP32 graph, of a frame on which the width was measured. The
            difference grows with the score, so that a threshold above counts as this one.
    """

    width: Annotated[float, Field(ge=0)]
    seen_to: float

    def limit(self, threshold: float) -> float:
        """Returns the score up to which it passes a part."""
        return min(threshold, self.seen_to) - self.width


class FirstStage(Stage):
    """A stage in lower precision that passes clearly good parts.

    Attributes:
        second_look: share of the frames of good parts that it left to the FP32 graph in the build.
    """

    margin: Margin
    second_look: float

    @property
    def identity(self) -> str:
        """Returns the SHA-256 that its scores go by in records: of file, engine and precision."""
        return hashlib.sha256(
            f"{self.artefact_sha256} {self.engine} {self.compute}".encode()
        ).hexdigest()


class CpuRecord(Vouched):
    """What a processor runs, and why.

    Attributes:
        precision: name of the folder: "fp32", or that of the first stage: "bf16", "int8" or
            "int8-bf16".
        threads: threads that the times hold for; None for all cores.
        exact: the FP32 graph, which decides.
        first: None when the FP32 graph sees every part.
        trials: all candidates, with their times and differences.
    """

    schema_version: Literal[2] = 2
    linewarden_version: str
    built_utc: str
    precision: str
    processor: Processor
    threads: int | None
    exact: Stage
    first: FirstStage | None
    trials: tuple[Trial, ...]

    @model_validator(mode="after")
    def _fp32_decides(self) -> CpuRecord:
        if self.exact.compute != "fp32":
            raise ValueError("exact: the stage that decides computes in FP32")
        return self

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Returns its stages, in the order in which they see a part."""
        return (self.exact,) if self.first is None else (self.first, self.exact)


def precision_name(compute: Compute, *, is_int8: bool) -> str:
    """Returns the name of a precision on a processor: "fp32", "bf16", "int8" or "int8-bf16".

    Args:
        compute: precision of the operations in floating point.
        is_int8: the convolutions compute in INT8.
    """
    if not is_int8:
        return compute
    return "int8" if compute == "fp32" else f"int8-{compute}"


def record_name(processor: Processor, precision: str) -> str:
    """Returns the name of a record in a bundle."""
    return f"{ENGINES_FOLDER}/{processor.folder}/{precision}/{CPU_RECORD}"


def engine_version(engine: CpuEngine) -> str:
    """Returns the version of an engine's package, without the part that names a build.

    Raises:
        ModuleNotFoundError: it is not installed; `engine_class` says so in a user's words.
    """
    return str(import_module(engine).__version__).partition("-")[0]


def write_record(path: Path, record: CpuRecord, keys: Keys) -> None:
    """Seals and writes a record atomically, with a MAC when there is a device key."""
    write_text(path, keys.vouched(record).model_dump_json(indent=2) + "\n")


def verified_record(bundle: Path, name: str, files: Mapping[str, str], keys: Keys) -> CpuRecord:
    """Checks that a record, its folder and its artefacts in a bundle agree; returns the record.

    Args:
        name: path of the record, relative to the bundle.
        files: SHA-256 of the files of the manifest, by name.

    Raises:
        BundleError: it is missing or was changed, or they do not belong together.
    """
    path, mend = bundle / name, f"linewarden build {bundle}"
    record = read_sealed(path, CpuRecord, mend)
    keys.require_vouched(record, path, mend)
    for stage in record.stages:
        if files.get(stage.artefact) != stage.artefact_sha256:
            raise BundleError(
                f"{path}: was made for {stage.artefact} ({stage.artefact_sha256[:12]}), and the "
                f"bundle has {files.get(stage.artefact, 'no such file')[:12]}: {mend}"
            )
    expected = record_name(record.processor, record.precision)
    if name != expected:
        raise BundleError(f"{path}: belongs in {expected} and was moved: {mend}")
    return record


def require_here(path: Path, record: CpuRecord, here: Processor) -> None:
    """Refuses a record of another processor or of a newer engine.

    Args:
        path: of the record, for the message.

    Raises:
        EngineError: names every difference.
    """
    differences = list(_differences(record, here))
    if differences:
        raise EngineError(
            f"{path}: was built for another machine ({'; '.join(differences)}): linewarden build "
            f"{path.parents[3]}"
        )


def _differences(record: CpuRecord, here: Processor) -> Iterator[str]:
    built = record.processor
    for what, there, found in (
        ("processor", built.model, here.model),
        ("machine", built.machine, here.machine),
    ):
        if there != found:
            yield f"{what}: built {there}, here {found}"
    missing, more = set(built.flags) - set(here.flags), set(here.flags) - set(built.flags)
    if missing:
        yield f"without {', '.join(sorted(missing))} here"
    if more:
        yield f"with {', '.join(sorted(more))} here"
    versions = {stage.engine: stage.engine_version for stage in record.stages}
    for engine, built_with in versions.items():
        version = engine_version(engine)
        if _numbers(version) < _numbers(built_with):
            yield f"{engine}: built {built_with}, here the older {version}"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])
