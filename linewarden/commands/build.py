"""Build what this machine runs best: TensorRT engines, or the choice for its processor.

Without an NVIDIA device, the command tries the engines, artefacts and precisions that this
processor has: ONNX Runtime and OpenVINO in FP32, OpenVINO in BF16 where the processor has
the units, and the INT8 files of the bundle. Each runs on the golden frames and on the good
images of --good, and all that hold are timed in turn. The fastest form of the FP32 graph
decides. A lower precision that is faster goes before it: it passes the parts whose scores
keep a margin to the threshold, or to the highest score of a good image when that is lower,
and leaves all others to the FP32 graph. The margin is twice the largest difference that
the build saw, which takes 10 good images that the model has not learnt. It rejects nothing,
and thresholds hold on every machine. Recipes with zones do without it. From then on,
evaluate, inspect and run use both on this kind of processor, until --engine or --artefact
say otherwise. A bundle that was never built runs its FP32 graph on ONNX Runtime.

With an NVIDIA device, it builds TensorRT engines; --cpu builds for the processor there. A
plan fits only this kind of device, this TensorRT and this CUDA, so build it here.
The bundle keeps it with a sidecar that records all three. The golden frames then run
through the plan at native resolution. The command drops an engine whose verdicts differ
from the checkpoint's, and an engine of lower precision that is not faster here than a
more precise one. Only an engine that passes replaces an older one. The precision comes
from the graph; see 'linewarden export'.

A build takes minutes and much memory: stop the line first. Ctrl-C and SIGTERM cancel
the build and leave no unfinished engine behind; a second signal ends the process at
once. Thresholds hold for one engine: calibrate through the new engine afterwards.
Engines run on the GPU; the DLA of a Jetson Orin is not used.

With --for it builds for RTX cards with TensorRT for RTX, on any x86-64 machine and
without a GPU. That adds a file to the bundle, which the manifest then names: build
before the owner signs the bundle. On the PC with the card, --verify compares the engine
with the checkpoint, measures it, and takes it into use with the kernels that the card
compiled. Such a PC needs 'linewarden[tensorrt-rtx]' and no TensorRT.

The exit code is 6 when a named artefact, or the FP32 artefact, gives no engine.

examples:
  linewarden build bundles/flange
  linewarden build bundles/flange --good parts/flange/train/good --threads 2
  linewarden build bundles/flange --artefact model.onnx model.fp16.onnx --workspace-mib 2048
  linewarden calibrate bundles/flange --good parts/good --engine tensorrt \\
      --artefact engines/orin-sm87-8mp/fp16/model.plan
  linewarden build bundles/flange --for rtx-ampere,rtx-ada,rtx-blackwell
  linewarden build bundles/flange --verify
  linewarden build bundles/flange --json | jq .exact.artefact

files:
  BUNDLE/engines/PROCESSOR/PRECISION/model.cpu.json   the choice for a processor, and why
  BUNDLE/engines/DEVICE/PRECISION/model.plan          the engine
  BUNDLE/engines/DEVICE/PRECISION/model.plan.json     its sidecar
  BUNDLE/engines/DEVICE/PRECISION/model.layers.json   its layers, as built
  BUNDLE/engines/DEVICE/timings-VERSION.cache         makes the next build faster
  BUNDLE/engines/DEVICE-rtx/PRECISION/model.kernels   kernels that the card compiled
  BUNDLE/model.PRECISION.rtx.plan                     engine for RTX cards, before --verify
  BUNDLE/model.PRECISION.rtx.plan.json                its cards, versions and hashes
  BUNDLE/model.PRECISION.rtx.layers.json              its layers, as built
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from edge.service.signals import stopped_by_signals
from export.tensorrt.build import LEVELS, BuildCancelledError, BuildOptions
from export.tensorrt.engine import (
    Built,
    build_engine,
    buildable,
    portable_plans,
    verify_portable,
)
from export.tensorrt.portable import PortableBuild, build_portable
from inspection.bundle import Bundle, open_bundle
from inspection.engine.rtx_cards import RTX_CARDS
from inspection.engine.sidecar import Latency, Sidecar, runtime_of
from inspection.errors import BundleError, EngineError
from linewarden.cpu_build import (
    add_cpu_arguments,
    build_with_options,
    is_for_processor,
    next_step,
)
from linewarden.cpu_build import describe as describe_cpu

if TYPE_CHECKING:
    from tqdm import tqdm

Made = TypeVar("Made")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="bundle to build in")
    parser.add_argument(
        "--artefact",
        nargs="+",
        metavar="FILE",
        help="ONNX files of the bundle (default: all that this machine runs)",
    )
    _add_machine(parser)
    add_cpu_arguments(parser)
    _add_tensorrt_options(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def _add_machine(parser: argparse.ArgumentParser) -> None:
    way = parser.add_mutually_exclusive_group()
    way.add_argument(
        "--for",
        dest="cards",
        type=lambda text: tuple(text.split(",")),
        metavar="CARDS",
        help=f"build without a GPU for RTX cards: some of {','.join(RTX_CARDS)}",
    )
    way.add_argument(
        "--verify",
        action="store_true",
        help="take engines that were built with --for into use on this machine",
    )


def _add_tensorrt_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workspace-mib",
        type=int,
        default=1024,
        metavar="N",
        help="memory that a kernel may use (default: %(default)s)",
    )
    parser.add_argument(
        "--optimisation-level",
        type=int,
        default=3,
        choices=LEVELS,
        metavar="N",
        help="0 to 5: a higher level builds longer and may run faster (default: %(default)s)",
    )
    parser.add_argument(
        "--tf32",
        action="store_true",
        help="let the FP32 part of FP16 and INT8 graphs multiply with 10 bits of mantissa: faster, "
        "if the golden frames pass",
    )
    parser.add_argument(
        "--timing-cache",
        type=Path,
        metavar="FILE",
        help="timings of earlier builds (default: beside the engines)",
    )
    parser.add_argument(
        "--this-device-only",
        action="store_true",
        help="bind the engine to this one device, not to its kind",
    )


def run(args: argparse.Namespace) -> int:
    """Builds and reports; returns 130 or 143 after a signal."""
    bundle = open_bundle(args.bundle)
    if not args.cards and not args.verify and is_for_processor(args):
        record = build_with_options(args, bundle, _say)
        _tell(args, [*describe_cpu(record), *next_step(bundle)], record.model_dump(mode="json"))
        return 0
    # On another thread: Python handles signals on this one only, and TensorRT would block it.
    with stopped_by_signals() as received, _Bars(received) as bars, ThreadPoolExecutor(1) as thread:
        way = _way(args, bundle, bars)
        built = []
        try:
            for name in args.artefact or way.names:
                is_named = bool(args.artefact)
                engine = thread.submit(_built, way, name, is_named=is_named).result()
                if engine is not None:
                    built.append(engine)
                    _tell(args, way.describe(engine))
        except BuildCancelledError as error:
            _say(str(error))
            return 128 + received[0]
    _tell(args, way.summary(built), {"built": [way.record(engine) for engine in built]})
    return 0


def _tell(
    args: argparse.Namespace, lines: Sequence[str], record: dict[str, Any] | None = None
) -> None:
    """Prints lines for people; with --json the record alone."""
    if not args.json:
        print("\n".join(lines))
    elif record is not None:
        print(json.dumps(record))


@dataclass(frozen=True)
class _Way(Generic[Made]):
    """A way to come to engines.

    Attributes:
        names: artefacts to build, or plans to verify, when the user names none.
        make: makes one engine.
        describe: its lines for the user.
        record: the same for programs.
        summary: the lines after the last engine.
    """

    names: Sequence[str]
    make: Callable[[str], Made]
    describe: Callable[[Made], list[str]]
    record: Callable[[Made], dict[str, Any]]
    summary: Callable[[Sequence[Made]], list[str]]


def _way(args: argparse.Namespace, bundle: Bundle, bars: _Bars) -> _Way[Any]:
    bound_to: Literal["model", "device"] = "device" if args.this_device_only else "model"
    options = _options(args)
    if args.cards is not None:
        return _Way(
            buildable(bundle),
            lambda name: build_portable(
                bundle, name, args.cards, options=options, progress=bars, report=_say
            ),
            describe_portable,
            lambda built: {"name": built.name, **built.record.model_dump(mode="json")},
            partial(summary_of_portable, args.bundle),
        )
    if args.verify:
        return _Way(
            _require_portable(bundle),
            lambda name: verify_portable(
                bundle, name, progress=bars, bound_to=bound_to, report=_say
            ),
            describe,
            _sidecar,
            partial(summary, args.bundle),
        )
    return _Way(
        buildable(bundle),
        lambda name: build_engine(
            bundle, name, options=options, progress=bars, bound_to=bound_to, report=_say
        ),
        describe,
        _sidecar,
        partial(summary, args.bundle),
    )


def _sidecar(built: Built) -> dict[str, Any]:
    return {"name": built.name, **built.sidecar.model_dump(mode="json")}


def _require_portable(bundle: Bundle) -> list[str]:
    plans = portable_plans(bundle)
    if not plans:
        raise BundleError(
            f"{bundle.folder}: has no engine for RTX cards; build one, without a GPU: "
            f"linewarden build {bundle.folder} --for {','.join(RTX_CARDS)}"
        )
    return plans


def _options(args: argparse.Namespace) -> BuildOptions:
    return BuildOptions(
        workspace_mib=args.workspace_mib,
        optimisation_level=args.optimisation_level,
        timing_cache=args.timing_cache,
        tf32=args.tf32,
    )


def _built(way: _Way[Made], name: str, *, is_named: bool) -> Made | None:
    """Builds one engine.

    Returns:
        None when an artefact that is neither named nor the FP32 one gives no engine.
    """
    try:
        return way.make(name)
    except BuildCancelledError:
        raise
    except EngineError as error:
        if is_named or name == way.names[0]:
            raise
        _say(f"{name}: {error}")
        return None


def summary(bundle: Path, built: Sequence[Built]) -> list[str]:
    """Returns the fastest engine and the next step."""
    fastest = min(built, key=lambda engine: _used(engine.sidecar).p50_ms).name
    lines = [f"the fastest of {len(built)}: {fastest}"] if len(built) > 1 else []
    engine = runtime_of(fastest)
    command = f"linewarden calibrate {bundle} --good FOLDER --engine {engine} --artefact {fastest}"
    return [*lines, f"next: {command}"]


def describe(built: Built) -> list[str]:
    """Returns the size, the proof and the times of an engine."""
    sidecar, gate = built.sidecar, built.sidecar.gate
    lines = [
        f"{gate.frames} golden frames: {gate.verdict_flips} verdicts flip",
        f"largest difference {gate.relative:.1e} of the spread (at most {gate.tolerance:.0e})",
    ]
    for way, latency in sidecar.timings.items():
        chosen = "  <- used" if latency is _used(sidecar) else ""
        lines.append(
            f"  {way:<14} p50 {latency.p50_ms:.3f} ms, p99 {latency.p99_ms:.3f} ms{chosen}"
        )
    lines += [f"  {ratio:.2f} x the time of {name}" for name, ratio in sidecar.compared.items()]
    lines.append(f"built in {sidecar.settings.seconds:.0f} s: {built.name}")
    return lines


def describe_portable(built: PortableBuild) -> list[str]:
    """Returns the size, the cards and the layers of an engine for RTX cards."""
    record = built.record
    counted = Counter(layer.type for layer in built.layers if layer.is_product)
    products = ", ".join(f"{count} {kind}" for kind, count in sorted(counted.items()))
    cards, size = ", ".join(record.cards), record.plan_bytes / 2**20
    library = f"TensorRT for RTX {record.tensorrt_rtx}"
    return [
        f"{len(built.layers)} layers; convolutions and products: {products or 'none'}",
        f"built in {record.settings.seconds:.1f} s for {cards} with {library}",
        f"{size:.1f} MiB: {built.name}",
    ]


def summary_of_portable(bundle: Path, built: Sequence[PortableBuild]) -> list[str]:
    """Returns the open proof and the next step."""
    library = f"TensorRT for RTX {built[0].record.tensorrt_rtx}"
    return [
        "nothing has run: only the card shows results and times",
        f"next, on the PC with the card and {library}: linewarden build {bundle} --verify",
    ]


def _used(sidecar: Sidecar) -> Latency:
    return sidecar.timings[f"{sidecar.memory}, {sidecar.launch}"]


class _Bars:
    """Shows the phases of TensorRT as progress bars on a terminal.

    Args:
        received: the signals so far; the first one cancels the build.
    """

    def __init__(self, received: list[int]) -> None:
        from tqdm import tqdm  # noqa: PLC0415 - a build for a processor needs no bars

        self._received = received
        self._bar = partial(tqdm, leave=False, file=sys.stderr, disable=None)
        self._bars: dict[str, tqdm[Any]] = {}
        self._lock = threading.Lock()

    def start(self, phase: str, steps: int) -> None:
        """Implements `Progress.start`."""
        with self._lock:
            self._bars[phase] = self._bar(total=steps, desc=phase)

    def step(self, phase: str) -> bool:
        """Implements `Progress.step`."""
        with self._lock:
            # An exception inside TensorRT would end the process, so an odd order is not an error.
            if phase in self._bars:
                self._bars[phase].update()
        return not self._received

    def finish(self, phase: str) -> None:
        """Implements `Progress.finish`."""
        with self._lock:
            if phase in self._bars:
                self._bars.pop(phase).close()

    def __enter__(self) -> _Bars:
        return self

    def __exit__(self, *_: object) -> None:
        for bar in self._bars.values():
            bar.close()


def _say(text: str) -> None:
    sys.stderr.write(f"linewarden: {text}\n")
