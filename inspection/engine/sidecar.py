"""Reads and writes the sidecar of a TensorRT plan: source, machine and measurements of its build.

A plan is an executable file for one TensorRT version on one kind of device, and TensorRT has no
call that checks this beforehand. A plan of TensorRT for RTX fits several kinds of cards, and its
kernels, compiled at its first load, fit one. Therefore a sealed JSON file lies beside each plan,
and Linewarden deserialises a plan only when plan, sidecar and this machine agree. The MAC of the
device key proves that they were built here (see `inspection.trust.keys`). Without a device key,
only root and the user of the line may have write access to them::

    BUNDLE/engines/<device>/<precision>/
        model.plan           the plan
        model.plan.json      the sidecar
        model.layers.json    TensorRT's list of layers with their precisions
        model.kernels        TensorRT for RTX: kernels that it compiled for this device
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Literal

from inspection.errors import BundleError, EngineError
from inspection.files import sha256_of, write_text
from inspection.trust.keys import Keys, configured_keys
from inspection.trust.sealed import Sha256, Strict, Vouched, read_sealed

ENGINES_FOLDER = "engines"
PLAN = "model.plan"
LAYERS = "model.layers.json"
KERNELS = "model.kernels"
PORTABLE = ".rtx.plan"  # end of the names of portable plans; see `inspection.engine.portable`
BUILD_LOCK = ".build.lock"
L4T_RELEASE = Path("/etc/nv_tegra_release")

Runtime = Literal["tensorrt", "tensorrt-rtx"]  # names of engines that run plans
Memory = Literal["copied", "mapped"]
Launch = Literal["graph", "plain"]


# Of the folders under `engines/`, so that one device can have engines of both.
_SUFFIXES: dict[Runtime, str] = {"tensorrt": "", "tensorrt-rtx": "-rtx"}


class Tensor(Strict):
    """An input or output of the engine."""

    name: str
    mode: Literal["input", "output"]
    dtype: str
    shape: tuple[int, ...]


class Platform(Strict):
    """The machine and software that a plan is bound to.

    Attributes:
        runtime: engine that runs the plan.
        tensorrt: version of TensorRT, or of TensorRT for RTX.
        cuda_driver: CUDA version of the driver, 1000 * major + 10 * minor.
        cuda_runtime: CUDA version of the runtime, in the same form.
        compute_capability: "8.7" for instance.
        uuid: identity of this one device; None when the CUDA binding does not report it.
        l4t: first line of the Jetson release file; None on other machines.
    """

    runtime: Runtime
    tensorrt: str
    cuda_driver: int
    cuda_runtime: int
    device: str
    compute_capability: str
    multiprocessors: int
    uuid: str | None
    machine: str
    system: str
    l4t: str | None

    @property
    def folder(self) -> str:
        """Returns the folder name of this kind of device and runtime under `engines/`."""
        name = re.sub(r"[^a-z0-9]+", "-", self.device.lower()).strip("-")
        kind = f"{name}-sm{self.compute_capability.replace('.', '')}-{self.multiprocessors}mp"
        return kind + _SUFFIXES[self.runtime]


class BuildSettings(Strict):
    """Settings of the builder; `seconds` is the duration of the build."""

    workspace_mib: int
    optimisation_level: int
    tf32: bool
    seconds: float


class Latency(Strict):
    """Time of `infer` in milliseconds."""

    runs: int
    p50_ms: float
    p99_ms: float


class AccuracyGate(Strict):
    """Comparison of engine and checkpoint on the golden frames.

    Attributes:
        score: largest absolute difference of the raw score.
        map: largest absolute difference of the anomaly map.
        relative: largest difference as a share of the expected value, at most `tolerance`.
        verdict_flips: frames whose verdict differs at `threshold`.
    """

    frames: int
    score: float
    map: float
    relative: float
    tolerance: float
    verdict_flips: int
    threshold: float


class Sidecar(Vouched):
    """The record beside a plan.

    Attributes:
        artefact: file of the bundle that the plan was built from.
        bound_to: "model" lets the plan run on every device of the same kind, "device" only on this
            one.
        memory: fastest way of moving a frame to the device, as measured.
        launch: fastest way of launching the work, as measured.
        timings: latency by "<memory>, <launch>", such as "copied, graph".
        compared: median time divided by that of each more precise engine in the bundle, by
            precision; from interleaved runs, each engine in its fastest way.
        kernels_sha256: of the kernels beside the plan; None for a plan that contains its kernels.
    """

    schema_version: Literal[3] = 3
    linewarden_version: str
    built_utc: str
    plan_sha256: Sha256
    plan_bytes: int
    artefact: str
    artefact_sha256: Sha256
    precision: str
    bound_to: Literal["model", "device"]
    platform: Platform
    settings: BuildSettings
    io: tuple[Tensor, ...]
    memory: Memory
    launch: Launch
    timings: dict[str, Latency]
    compared: dict[str, float]
    gate: AccuracyGate
    kernels_sha256: Sha256 | None = None


def runtime_of(plan: str) -> Runtime:
    """Returns the engine that runs a plan, by the name of the plan in its bundle."""
    folder = PurePosixPath(plan).parts[-3:-2]
    is_rtx = bool(folder) and folder[0].endswith(_SUFFIXES["tensorrt-rtx"])
    return "tensorrt-rtx" if is_rtx else "tensorrt"


def sidecar_path(plan: Path) -> Path:
    """Returns the path of the sidecar of a plan."""
    return plan.with_name(plan.name + ".json")


def write_sidecar(plan: Path, sidecar: Sidecar, keys: Keys | None = None) -> None:
    """Seals and writes the sidecar of a plan atomically, with a MAC when there is a device key.

    Args:
        keys: None takes the keys of this machine.
    """
    keys = configured_keys() if keys is None else keys
    content = keys.vouched(sidecar).model_dump_json(indent=2) + "\n"
    write_text(sidecar_path(plan), content, private=True)


def read_sidecar(plan: Path, keys: Keys | None = None) -> Sidecar:
    """Reads the sidecar of a plan.

    Args:
        keys: None takes the keys of this machine.

    Raises:
        BundleError: the sidecar is missing or damaged, or another user could have written it.
    """
    keys = configured_keys() if keys is None else keys
    sidecar = read_sealed(sidecar_path(plan), Sidecar, _mend(plan))
    keys.require_vouched(sidecar, sidecar_path(plan), _mend(plan, sidecar.artefact))
    if keys.device is None:
        _require_guarded(plan)
    return sidecar


def verify(plan: Path, content: bytes, sidecar: Sidecar, here: Platform) -> None:
    """Refuses a plan that does not match its sidecar, or that was built for another machine.

    Args:
        plan: path of the plan, for the message.
        content: bytes of the plan.
        here: this machine.

    Raises:
        BundleError: the bytes differ from the built ones.
        EngineError: TensorRT, CUDA or device differ; the message names every difference.
    """
    _check_content(plan, len(content), hashlib.sha256(content).hexdigest(), sidecar)
    differences = list(_differences(sidecar, here))
    if differences:
        raise EngineError(
            f"{plan}: was built for another machine ({'; '.join(differences)}): "
            f"{_mend(plan, sidecar.artefact)}"
        )


def verified_plan(bundle: Path, name: str, files: Mapping[str, str], keys: Keys) -> Sidecar:
    """Checks that plan, sidecar, folder and artefact in a bundle agree; returns the sidecar.

    Args:
        name: path of the plan, relative to the bundle.
        files: SHA-256 of the files of the manifest, by name.

    Raises:
        BundleError: one of them is missing, or they do not belong together.
    """
    plan = bundle / name
    if not plan.is_file():
        raise BundleError(f"{bundle}: has no engine {name!r}: {_mend(plan)}")
    sidecar = read_sidecar(plan, keys)
    mend = _mend(plan, sidecar.artefact)
    _check_content(plan, plan.stat().st_size, sha256_of(plan), sidecar)
    if files.get(sidecar.artefact) != sidecar.artefact_sha256:
        raise BundleError(
            f"{plan}: was built from {sidecar.artefact} ({sidecar.artefact_sha256[:12]}), and the "
            f"bundle has {files.get(sidecar.artefact, 'no such file')[:12]}: {mend}"
        )
    expected = (ENGINES_FOLDER, sidecar.platform.folder, sidecar.precision)
    if Path(name).parent.parts != expected:
        raise BundleError(f"{plan}: belongs in {'/'.join(expected)} and was moved: {mend}")
    return sidecar


def l4t_release(path: Path = L4T_RELEASE) -> str | None:
    """Returns the first line of the Jetson release file without dates; None on other machines."""
    if not path.is_file():
        return None
    return path.read_text().splitlines()[0].lstrip("# ").partition(", GCID")[0]


def _require_guarded(plan: Path) -> None:
    """Raises BundleError when users other than root and this one could have written the plan.

    A plan is executable, and anybody can make a seal.
    """
    for path in (plan, sidecar_path(plan), plan.parent):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue  # the reader of a missing plan reports it
        others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if others or status.st_uid not in (0, os.geteuid()):
            raise BundleError(
                f"{path}: another user could have written it, and a plan is executable: "
                f"{_mend(plan)} as the user of the line, or give this machine a key: linewarden "
                "bundle device-key"
            )


def _check_content(plan: Path, size: int, digest: str, sidecar: Sidecar) -> None:
    mend = _mend(plan, sidecar.artefact)
    if size != sidecar.plan_bytes:
        raise BundleError(
            f"{plan}: has {size} bytes and {sidecar.plan_bytes} were built (truncated, or from "
            f"another build): {mend}"
        )
    if digest != sidecar.plan_sha256:
        raise BundleError(
            f"{plan}: is not what was built (SHA-256 {digest[:12]}, its sidecar says "
            f"{sidecar.plan_sha256[:12]}): {mend}"
        )


def _differences(sidecar: Sidecar, here: Platform) -> Iterator[str]:
    there = sidecar.platform
    pairs = {
        "engine": (there.runtime, here.runtime),
        "TensorRT": (there.tensorrt, here.tensorrt),
        "device": (there.device, here.device),
        "compute capability": (there.compute_capability, here.compute_capability),
        "multiprocessors": (there.multiprocessors, here.multiprocessors),
        "machine": (there.machine, here.machine),
        "system": (there.system, here.system),
        "CUDA runtime": (there.cuda_runtime // 1000, here.cuda_runtime // 1000),
    }
    if sidecar.bound_to == "device":
        pairs["device UUID"] = (there.uuid, here.uuid)
    for what, (built, found) in pairs.items():
        if built != found:
            yield f"{what}: built {built}, here {found}"
    if here.cuda_driver < there.cuda_driver:
        yield f"CUDA driver: built {there.cuda_driver}, here the older {here.cuda_driver}"


def _mend(plan: Path, artefact: str | None = None) -> str:
    parts = plan.parts[-4:]
    bundle = str(plan.parents[3]) if len(parts) == 4 and parts[0] == ENGINES_FOLDER else "BUNDLE"
    if (artefact or plan.name).endswith(PORTABLE):
        return f"linewarden build {bundle} --verify"
    return f"linewarden build {bundle}" + (f" --artefact {artefact}" if artefact else "")
