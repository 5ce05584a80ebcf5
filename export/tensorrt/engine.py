"""Engines in a bundle: build on the device, compare with the checkpoint, measure, keep or drop.

No torch and no onnx: this runs on the device.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from export.tensorrt.build import BuildOptions, Progress, build_plan
from export.tensorrt.examine import (
    TOLERANCES,
    BuiltPlan,
    Findings,
    Precision,
    examine,
    graph_shape,
)
from inspection.bundle import REFERENCE_ARTEFACT, Bundle
from inspection.engine import engine_class
from inspection.engine.cuda import Cuda, open_cuda
from inspection.engine.portable import read_portable, require_fits
from inspection.engine.sidecar import (
    BUILD_LOCK,
    ENGINES_FOLDER,
    KERNELS,
    LAYERS,
    PLAN,
    BuildSettings,
    Sidecar,
    write_sidecar,
)
from inspection.engine.tensorrt_bindings import load_bindings, platform_here
from inspection.errors import BundleError
from inspection.files import new_directory, write_bytes, write_text


@dataclass(frozen=True)
class Built:
    """An engine that was written.

    Attributes:
        name: the plan's path in the bundle, which `Inspector.open` takes as artefact.
    """

    name: str
    sidecar: Sidecar


def build_engine(
    bundle: Bundle,
    artefact: str = REFERENCE_ARTEFACT,
    *,
    options: BuildOptions,
    progress: Progress,
    bound_to: Literal["model", "device"] = "model",
    report: Callable[[str], None] = lambda _: None,
) -> Built:
    """Builds an engine of an artefact and puts it into the bundle.

    Only an engine that passes replaces one of an earlier build.

    Args:
        bound_to: "device" for an engine that other devices of the same kind must not run.
        report: called with a line about each step.

    Raises:
        BundleError: the bundle lacks the artefact or golden frames, belongs to another user, cannot
            be written to, or another build is writing into it.
        ConfigError: this machine trusts keys and has no key to sign with.
        BuildCancelledError: `progress` cancelled the build.
        EngineNotKeptError: its results are not the checkpoint's, or it is not faster than a more
            precise engine in the bundle.
        EngineError: TensorRT cannot build it.
        DeviceLostError: the device failed.
    """
    precision = precision_of(bundle, artefact)
    _require_golden_frames(bundle)
    trt = load_bindings()
    _require_owner(bundle)
    bundle.keys.require_for_records()
    with bundle.locked(BUILD_LOCK), _opened_cuda() as cuda:
        here = platform_here(trt, cuda.device())
        home = bundle.folder / ENGINES_FOLDER / here.folder
        options = _complete(options, precision, home / f"timings-{here.tensorrt}.cache")
        report(f"building {precision} for {here.device} with TensorRT {here.tensorrt}")
        started = time.monotonic_ns()
        plan = build_plan(trt, bundle.file(artefact), options, progress)
        seconds = (time.monotonic_ns() - started) / 1e9
        built = BuiltPlan(bundle, artefact, precision, plan, here)
        return _keep(
            trt,
            cuda,
            built,
            bound_to=bound_to,
            settings=build_settings(options, seconds),
            progress=progress,
            report=report,
        )


def verify_portable(
    bundle: Bundle,
    plan: str,
    *,
    progress: Progress,
    bound_to: Literal["model", "device"] = "model",
    report: Callable[[str], None] = lambda _: None,
) -> Built:
    """Compares a portable plan with the checkpoint on this card, and takes it into use.

    Args:
        plan: artefact for the engine "tensorrt-rtx"; see `inspection.engine.portable`.

    Raises:
        BundleError: like `build_engine`, or the plan is not the one of its record.
        EngineNotKeptError: like `build_engine`.
        EngineError: it was built for another card or library, or this machine cannot run it.
        DeviceLostError: the device failed.
    """
    path = bundle.file(plan)
    record = read_portable(path)
    _require_golden_frames(bundle)
    trt = load_bindings("tensorrt-rtx")
    _require_owner(bundle)
    bundle.keys.require_for_records()
    with bundle.locked(BUILD_LOCK), _opened_cuda() as cuda:
        here = platform_here(trt, cuda.device(), "tensorrt-rtx")
        require_fits(path, record, here)
        built = BuiltPlan(
            bundle, plan, bundle.manifest.artefacts[plan].precision, path.read_bytes(), here
        )
        report(f"{plan}: {here.device} compiles its kernels")
        return _keep(
            trt,
            cuda,
            built,
            bound_to=bound_to,
            settings=record.settings,
            progress=progress,
            report=report,
        )


def portable_plans(bundle: Bundle) -> list[str]:
    """Returns the portable plans of a bundle, the most precise first."""
    plans = {n: a for n, a in bundle.manifest.artefacts.items() if a.engine == "tensorrt-rtx"}
    order = list(TOLERANCES)
    return sorted(plans, key=lambda name: order.index(plans[name].precision))


def _keep(
    trt: Any,
    cuda: Cuda,
    built: BuiltPlan,
    *,
    bound_to: Literal["model", "device"],
    settings: BuildSettings,
    progress: Progress,
    report: Callable[[str], None],
) -> Built:
    """Compares and measures a plan, and puts it into the bundle when it passes."""
    report("comparing with the checkpoint on the golden frames, and measuring")
    findings = examine(trt, cuda, built, progress, report)
    sidecar = _sidecar(built, bound_to, settings, findings)
    place = f"{ENGINES_FOLDER}/{built.platform.folder}/{built.precision}"
    _install(built.bundle.folder / place, built, sidecar, findings)
    return Built(f"{place}/{PLAN}", sidecar)


def buildable(bundle: Bundle) -> list[str]:
    """Returns the artefacts that TensorRT may run, the most precise first."""
    names = [name for name, a in bundle.manifest.artefacts.items() if a.engine == "tensorrt"]
    order = list(TOLERANCES)
    return sorted(
        [REFERENCE_ARTEFACT, *names], key=lambda name: order.index(precision_of(bundle, name))
    )


def precision_of(bundle: Bundle, artefact: str) -> Precision:
    """Returns the precision of an artefact that TensorRT may run.

    Raises:
        BundleError: the bundle has no such artefact, or it is made for another engine.
    """
    if artefact == REFERENCE_ARTEFACT:
        return "fp32"
    listed = bundle.manifest.artefacts.get(artefact)
    if listed is None:
        known = [REFERENCE_ARTEFACT, *sorted(bundle.manifest.artefacts)]
        raise BundleError(
            f"{bundle.folder}: has no artefact {artefact!r}; it has {', '.join(known)}"
        )
    if listed.engine != "tensorrt":
        raise BundleError(
            f"{bundle.folder}: {artefact} is made for the engine {listed.engine!r}; TensorRT needs "
            "another form"
        )
    return listed.precision


def _require_golden_frames(bundle: Bundle) -> None:
    if not bundle.manifest.golden:
        raise BundleError(
            f"{bundle.folder}: has no golden frames to compare an engine with; export it again"
        )


def _require_owner(bundle: Bundle) -> None:
    """Refuses a bundle of another user: only the owner of engines can read them."""
    owner = bundle.folder.stat().st_uid
    if owner != os.geteuid():
        raise BundleError(
            f"{bundle.folder}: belongs to the user number {owner}, and you are number "
            f"{os.geteuid()}; build as the user that runs the line: sudo -u '#{owner}' "
            f"linewarden build {bundle.folder}"
        )


def _complete(options: BuildOptions, precision: Precision, cache: Path) -> BuildOptions:
    """Adds the options that depend on the artefact and the device."""
    return replace(
        options,
        tf32=options.tf32 and precision != "fp32",
        timing_cache=options.timing_cache or cache,
    )


def build_settings(options: BuildOptions, seconds: float) -> BuildSettings:
    """Returns the record of the options of a build of this duration."""
    return BuildSettings(
        workspace_mib=options.workspace_mib,
        optimisation_level=options.optimisation_level,
        tf32=options.tf32,
        seconds=seconds,
    )


def _sidecar(
    built: BuiltPlan,
    bound_to: Literal["model", "device"],
    settings: BuildSettings,
    findings: Findings,
) -> Sidecar:
    return Sidecar(
        linewarden_version=version("linewarden"),
        built_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        plan_sha256=hashlib.sha256(built.plan).hexdigest(),
        plan_bytes=len(built.plan),
        artefact=built.artefact,
        artefact_sha256=built.bundle.manifest.files[built.artefact],
        precision=built.precision,
        bound_to=bound_to,
        platform=built.platform,
        settings=settings,
        io=findings.io,
        memory=findings.memory,
        launch=findings.launch,
        timings=findings.timings,
        compared=findings.compared,
        gate=findings.gate,
        kernels_sha256=_digest(findings.kernels),
    ).sealed()


def _digest(content: bytes | None) -> str | None:
    return None if content is None else hashlib.sha256(content).hexdigest()


def _install(target: Path, built: BuiltPlan, sidecar: Sidecar, findings: Findings) -> None:
    """Puts the engine in its place, once it opens as on the line."""
    try:
        _make_private(target.parent.parent)
        with new_directory(target, replace=True, private=True) as folder:
            write_bytes(folder / PLAN, built.plan, private=True)
            write_text(folder / LAYERS, findings.layers, private=True)
            if findings.kernels is not None:
                write_bytes(folder / KERNELS, findings.kernels, private=True)
            write_sidecar(folder / PLAN, sidecar, built.bundle.keys)
            open_here = engine_class(built.platform.runtime)
            open_here(folder / PLAN, graph_shape(built.bundle), threads=None).close()
    except OSError as error:
        raise BundleError(
            f"{target}: the engine cannot be written ({error.strerror}); make room or repair the "
            "disk, and build again: the kept timings make that faster"
        ) from error


def _make_private(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    folder.chmod(0o700)  # also a folder of an earlier version


@contextmanager
def _opened_cuda() -> Iterator[Cuda]:
    cuda = open_cuda()
    try:
        yield cuda
    finally:
        cuda.release()
