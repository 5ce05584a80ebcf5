"""Portable plans in a bundle: built for cards that are not there, on any x86-64 machine.

No torch and no onnx. Needs no GPU: TensorRT for RTX compiles the kernels on the card, at the first
load. So the bundle gains a file, and each device verifies it before it takes it into use; see
`export.tensorrt.engine.verify_portable`.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from export.tensorrt.build import BuildOptions, Progress, build_plan
from export.tensorrt.engine import build_settings, precision_of
from export.tensorrt.layers import Layer, read_layers
from inspection.bundle import Artefact, Bundle
from inspection.bundle.manifest import MANIFEST, parse_manifest
from inspection.engine.portable import PortablePlan, layers_name, portable_name, record_name
from inspection.engine.rtx_cards import TURING, capabilities_of
from inspection.engine.sidecar import BUILD_LOCK
from inspection.engine.tensorrt_bindings import load_bindings, process_logger
from inspection.errors import BundleError, ConfigError, EngineError
from inspection.files import write_bytes, write_text
from inspection.trust.signature import SIGNATURE


@dataclass(frozen=True)
class PortableBuild:
    """A portable plan that was written.

    Attributes:
        name: the plan's file in the bundle.
    """

    name: str
    record: PortablePlan
    layers: tuple[Layer, ...]


def build_portable(
    bundle: Bundle,
    artefact: str,
    cards: Sequence[str],
    *,
    options: BuildOptions,
    progress: Progress,
    report: Callable[[str], None] = lambda _: None,
) -> PortableBuild:
    """Builds an engine of an artefact for cards, and puts it into the bundle.

    Args:
        cards: names in `RTX_CARDS`.
        options: without a timing cache.

    Raises:
        BundleError: the bundle is signed, lacks the artefact, cannot be written to, or another
            build is writing into it.
        ConfigError: a card is unknown, or a timing cache is given.
        BuildCancelledError: `progress` cancelled the build.
        EngineError: TensorRT for RTX is missing or cannot build it, or INT8 is asked for Turing.
    """
    capabilities = capabilities_of(cards)
    precision = precision_of(bundle, artefact)
    _require_int8_cards(artefact, precision, cards)
    if options.timing_cache is not None:
        raise ConfigError("a timing cache needs a GPU: leave it out when building for other cards")
    trt = load_bindings("tensorrt-rtx")
    _require_unsigned(bundle)
    options = replace(options, capabilities=capabilities, tf32=options.tf32 and precision != "fp32")
    with bundle.locked(BUILD_LOCK):
        report(f"building {precision} for {', '.join(cards)} without a GPU")
        plan, layers, seconds = _timed_plan(trt, bundle.file(artefact), options, progress)
        record = PortablePlan(
            linewarden_version=version("linewarden"),
            built_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            plan_sha256=hashlib.sha256(plan).hexdigest(),
            plan_bytes=len(plan),
            artefact=artefact,
            artefact_sha256=bundle.manifest.files[artefact],
            precision=precision,
            cards=tuple(cards),
            tensorrt_rtx=trt.__version__,
            settings=build_settings(options, seconds),
        ).sealed()
        built = PortableBuild(portable_name(precision), record, layers)
        _install(bundle, built, plan)
    return built


def _timed_plan(
    trt: Any, graph: Path, options: BuildOptions, progress: Progress
) -> tuple[bytes, tuple[Layer, ...], float]:
    """Returns a plan, its layers, and the time of the build in seconds."""
    started = time.monotonic_ns()
    process_logger(trt).layers = ""  # of an earlier build
    plan = build_plan(trt, graph, options, progress)
    seconds = (time.monotonic_ns() - started) / 1e9
    return plan, read_layers(process_logger(trt).layers), seconds


def _require_int8_cards(artefact: str, precision: str, cards: Sequence[str]) -> None:
    """Refuses INT8 in a plan for Turing: the compiler then makes FP16 of it, for every card."""
    if precision == "int8" and TURING in cards:
        raise EngineError(
            f"{artefact}: a plan that fits Turing computes no convolution in INT8, on no card: "
            f"build it without {TURING}"
        )


def _install(bundle: Bundle, built: PortableBuild, plan: bytes) -> None:
    """Puts the files into the bundle and into its manifest; the bundle verifies at every moment."""
    files = {
        built.name: plan,
        record_name(built.name): (built.record.model_dump_json(indent=2) + "\n").encode(),
        layers_name(built.name): _as_json(built.layers),
    }
    try:
        _write_manifest(bundle, built.name, None, dict.fromkeys(files))
        for name, content in files.items():
            write_bytes(bundle.folder / name, content)
        _write_manifest(bundle, built.name, _artefact(bundle, built.record), files)
    except OSError as error:
        raise BundleError(
            f"{bundle.folder}: the engine cannot be written ({error.strerror}); make room or "
            "repair the disk, and build again"
        ) from error


def _write_manifest(
    bundle: Bundle, plan: str, artefact: Artefact | None, changes: Mapping[str, bytes | None]
) -> None:
    """Writes the manifest with these files, or without those that have no content."""
    path = bundle.folder / MANIFEST
    manifest = parse_manifest(path.read_bytes(), bundle.folder)
    artefacts = {n: a for n, a in manifest.artefacts.items() if n != plan}
    if artefact is not None:
        artefacts[plan] = artefact
    files = {name: digest for name, digest in manifest.files.items() if name not in changes}
    sizes = {name: size for name, size in manifest.sizes.items() if name not in changes}
    for name, content in changes.items():
        if content is not None:
            files[name] = hashlib.sha256(content).hexdigest()
            if manifest.sizes:
                sizes[name] = len(content)
    changed = manifest.model_copy(update={"artefacts": artefacts, "files": files, "sizes": sizes})
    write_text(path, changed.sealed().model_dump_json(indent=2) + "\n")


def _as_json(layers: tuple[Layer, ...]) -> bytes:
    content = {"Layers": [asdict(layer) for layer in layers]}
    return (json.dumps(content, indent=1) + "\n").encode()


def _artefact(bundle: Bundle, record: PortablePlan) -> Artefact:
    source = bundle.manifest.artefacts.get(record.artefact)
    return Artefact(
        precision=record.precision,
        engine="tensorrt-rtx",
        parity=None if source is None else source.parity,
        latency_ratio=None,
        remark=f"built from {record.artefact} for {', '.join(record.cards)}; not run yet",
        lowered_nodes=0 if source is None else source.lowered_nodes,
        fp32_nodes=0 if source is None else source.fp32_nodes,
    )


def _require_unsigned(bundle: Bundle) -> None:
    """Refuses a signed bundle: the signature covers the manifest, and a portable plan is in it."""
    path = bundle.folder / SIGNATURE
    if path.exists():
        raise BundleError(
            f"{path}: covers the files of the bundle, and this build adds one: remove it, build, "
            "and let the owner sign the bundle again: linewarden bundle sign"
        )
