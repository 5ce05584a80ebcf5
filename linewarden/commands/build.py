"""Build a TensorRT engine of a bundle, on the device that will run it.

The plan fits this kind of device, this TensorRT and this CUDA only, so that it is
built here and stands in the bundle with a sidecar that says so. The golden frames
then run through it at native resolution: an engine whose verdicts are not the
checkpoint's is not kept. An engine that stands there already is replaced only by
one that passed.

Building takes minutes and much memory; stop the line before. Ctrl-C and SIGTERM
cancel it and leave nothing behind; a second signal ends the process at once.
Thresholds hold for one engine: calibrate through the new one afterwards.

examples:
  linewarden build bundles/flange
  linewarden build bundles/flange --artefact model.fp16.onnx --workspace-mib 2048
  linewarden calibrate bundles/flange --good parts/good --engine tensorrt \\
      --artefact engines/orin-sm87-8mp/fp16/model.plan

files:
  BUNDLE/engines/DEVICE/PRECISION/model.plan          what TensorRT runs
  BUNDLE/engines/DEVICE/PRECISION/model.plan.json     its sidecar
  BUNDLE/engines/DEVICE/PRECISION/model.layers.json   its layers, as built
  BUNDLE/engines/DEVICE/timings-VERSION.cache         makes the next build faster
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

from tqdm import tqdm

from edge.bundle import REFERENCE_ARTEFACT, open_bundle
from export.tensorrt_build import LEVELS, BuildCancelledError, BuildOptions
from export.tensorrt_engine import Built, build_engine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="bundle to build in")
    parser.add_argument(
        "--artefact",
        default=REFERENCE_ARTEFACT,
        metavar="FILE",
        help="ONNX file of the bundle (default: %(default)s)",
    )
    parser.add_argument(
        "--workspace-mib",
        type=int,
        default=1024,
        metavar="N",
        help="memory a kernel may use (default: %(default)s)",
    )
    parser.add_argument(
        "--optimisation-level",
        type=int,
        default=3,
        choices=LEVELS,
        metavar="N",
        help="0 to 5: more takes longer and may run faster (default: %(default)s)",
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
        help="bind the engine to this very device, not to its kind",
    )


def run(args: argparse.Namespace) -> int:
    """Build and report; 130 or 143 when a signal cancelled it."""
    options = BuildOptions(
        workspace_mib=args.workspace_mib,
        optimisation_level=args.optimisation_level,
        timing_cache=args.timing_cache,
    )
    bundle = open_bundle(args.bundle)
    # On a thread of its own: Python handles signals on this one only, and TensorRT would block it.
    with _cancelled_by_signals() as cancel, _Bars(cancel) as bars, ThreadPoolExecutor(1) as thread:
        work = thread.submit(
            build_engine,
            bundle,
            args.artefact,
            options=options,
            progress=bars,
            bound_to="device" if args.this_device_only else "model",
            report=_say,
        )
        try:
            built = work.result()
        except BuildCancelledError as error:
            _say(str(error))
            return 128 + cancel.number
    for line in describe(built):
        print(line)
    return 0


def describe(built: Built) -> list[str]:
    """What was built, and what it proved."""
    sidecar, gate = built.sidecar, built.sidecar.gate
    lines = [
        f"{gate.frames} golden frames: {gate.verdict_flips} verdicts flip",
        f"largest difference {gate.relative:.1e} of the spread (at most {gate.tolerance:.0e})",
    ]
    for way, latency in sidecar.timings.items():
        chosen = "  <- used" if way == f"{sidecar.memory}, {sidecar.launch}" else ""
        lines.append(
            f"  {way:<14} p50 {latency.p50_ms:.3f} ms, p99 {latency.p99_ms:.3f} ms{chosen}"
        )
    lines.append(f"built in {sidecar.settings.seconds:.0f} s: {built.name}")
    return lines


class _Cancel:
    """The signal that asked for the end; 0 while none did."""

    number = 0


class _Bars:
    """TensorRT's phases as progress bars on standard error, where that is a terminal."""

    def __init__(self, cancel: _Cancel) -> None:
        self._cancel = cancel
        self._bars: dict[str, tqdm[Any]] = {}
        self._lock = threading.Lock()

    def start(self, phase: str, steps: int) -> None:
        """See `Progress`."""
        with self._lock:
            self._bars[phase] = tqdm(
                total=steps, desc=phase, leave=False, file=sys.stderr, disable=None
            )

    def step(self, phase: str) -> bool:
        """See `Progress`."""
        with self._lock:
            # An exception would end the process inside TensorRT, so that an odd order is no error.
            if phase in self._bars:
                self._bars[phase].update()
        return self._cancel.number == 0

    def finish(self, phase: str) -> None:
        """See `Progress`."""
        with self._lock:
            if phase in self._bars:
                self._bars.pop(phase).close()

    def __enter__(self) -> _Bars:
        return self

    def __exit__(self, *_: object) -> None:
        for bar in self._bars.values():
            bar.close()


@contextlib.contextmanager
def _cancelled_by_signals() -> Iterator[_Cancel]:
    cancel = _Cancel()
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, _frame: FrameType | None) -> None:
        cancel.number = number
        for each in previous:
            signal.signal(each, signal.SIG_DFL)  # the second one ends the process

    for number in previous:
        signal.signal(number, note)
    try:
        yield cancel
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _say(text: str) -> None:
    sys.stderr.write(f"linewarden: {text}\n")
