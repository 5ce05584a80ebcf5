"""Simulate the machines around a line, so that it can be wired and shown without hardware.

  line     run a whole line: the configuration as written, with a machine at every address,
           drawn parts in place of the camera, and a bundle that calls a bright spot a defect
  plc      a PLC that takes verdicts, with the protocol and the places of a configuration: Modbus
           TCP, S7 or EtherNet/IP
  broker   an MQTT broker (mosquitto) that shows all verdicts
  camera   a network camera (MJPEG) with drawn parts, or with the images of a folder

The terminal shows every bit by its name. With --json, or where standard output is not a
terminal, each change is one line. 'line' writes all files into --out, and prints what
differs from the configuration; it ends after --parts, or with Ctrl-C. The other three run until
Ctrl-C; connect a real station to
them, or 'linewarden run' with --set. The PLC takes the verdicts of parts that come after
READY, and the first frame of a recording may come before.

examples:
  linewarden simulate line --config configs/line/modbus.yaml
  linewarden simulate line --config configs/line/gpio.yaml --parts 20 --json
  linewarden simulate plc --config configs/line/modbus.yaml --port 1502
  linewarden run --config configs/line/modbus.yaml --set outputs.0.host=127.0.0.1 \\
      --set outputs.0.port=1502
  linewarden simulate broker --port 1883
  linewarden simulate camera --port 8080 --images parts/flange/test/good
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from edge.part.record import InspectionRecord
from edge.service.run import describe, run_line
from edge.service.unblocked import UnblockedStream
from edge.sim import screen
from edge.sim.base import LOOPBACK, Machine
from edge.sim.broker import Broker
from edge.sim.camera import MjpegCamera, jpegs
from edge.sim.line import simulated
from edge.sim.parts import drawn_part
from edge.sim.plc import Plc, Registers
from edge.sim.plcs import plc_at, plc_peers
from edge.station.config import LineConfig
from inspection.config.loading import load_config
from inspection.errors import ConfigError
from inspection.images import list_images, read_image
from linewarden.commands.run import print_line

_REDRAWN_S = 0.2
_PART_S, _FRAME_S = 0.5, 0.2
_PLC_PORT = 1502  # the usual ones of S7 and Modbus are for root alone


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument(
        "machine", choices=("line", "plc", "broker", "camera"), help="what to simulate"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="line, plc: YAML of the line")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of that file"
    )
    parser.add_argument("--host", default=LOOPBACK, help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, help="plc: 1502, broker: 1883, camera: 8080")
    parser.add_argument("--parts", type=int, help="line: end after so many parts")
    parser.add_argument(
        "--period-s",
        type=float,
        metavar="SECONDS",
        help=f"line: between two parts ({_PART_S}); camera: between two frames ({_FRAME_S})",
    )
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="camera: images to send")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="line: keep its files in this new folder"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per change")


def run(args: argparse.Namespace) -> int:
    """Simulates until the line ends, or until Ctrl-C or SIGTERM."""
    if args.machine == "line":
        return _line(args)
    # The default of SIGTERM would leave the broker, which is a process, behind.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    with ExitStack() as stack:
        machine = _MACHINES[args.machine](args, stack)
        stack.callback(machine.close)
        print("Ctrl-C ends it", file=sys.stderr)
        with _shown([machine], as_json=args.json), suppress(KeyboardInterrupt):
            threading.Event().wait()
    return 0


def _line(args: argparse.Namespace) -> int:
    config = _config(args)
    if args.parts is not None and args.parts < 1:
        raise ConfigError(f"--parts {args.parts}: must be 1 or more")
    with (
        _folder(args.out) as folder,
        simulated(config, folder, parts=args.parts, period_s=_period_s(args, _PART_S)) as plant,
    ):
        for note in plant.notes:
            print(f"simulated: {note}", file=sys.stderr)
        terminal = UnblockedStream(sys.stderr)
        is_quiet = args.json or (sys.stdout.isatty() and plant.machines)
        on_record = _ignore if is_quiet else partial(print_line, terminal)
        with _shown(plant.machines, as_json=args.json):
            summary, number = run_line(plant.config, on_record, parts=args.parts)
        terminal.close()
        if args.json:
            print(json.dumps({"summary": summary.as_json()}))
        else:
            print("\n".join(describe(summary)))
        if summary.error is not None:
            raise summary.error
        return 128 + number if number else 0


def _ignore(_record: InspectionRecord) -> None:
    pass


def _config(args: argparse.Namespace) -> LineConfig:
    if args.config is None:
        raise ConfigError(f"linewarden simulate {args.machine} needs --config FILE")
    return load_config(args.config, LineConfig, args.set)


@contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    if out is None:
        with tempfile.TemporaryDirectory(prefix="linewarden-") as folder:
            yield Path(folder)
        return
    try:
        out.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(f"--out {out}: {error.strerror}; give a new folder") from error
    yield out.resolve()


def _plc(args: argparse.Namespace, _stack: ExitStack) -> Machine:
    """Returns the PLC of the configuration, else one with the registers of modbus.yaml."""
    if args.config is None:
        registers = Registers(block=100, acknowledge=120)
        return Plc(_port(args, _PLC_PORT), registers, host=args.host)
    config = _config(args)
    peers = plc_peers(config)
    if not peers:
        raise ConfigError(f"{args.config}: names no PLC that the station connects to")
    return plc_at(config, peers[0], _port(args, _PLC_PORT), args.host)


def _broker(args: argparse.Namespace, stack: ExitStack) -> Machine:
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="linewarden-"))
    broker = Broker(_port(args, 1883), Path(folder), host=args.host)
    broker.subscribe()
    return broker


def _camera(args: argparse.Namespace, _stack: ExitStack) -> Machine:
    if args.images is None:
        frames = [drawn_part(number, is_defective=number in (3, 6)) for number in range(8)]
    else:
        frames = [read_image(path) for path in list_images(args.images, print)]
    rate_hz = 1 / _period_s(args, _FRAME_S)
    return MjpegCamera(jpegs(frames), rate_hz=rate_hz, port=_port(args, 8080), host=args.host)


def _period_s(args: argparse.Namespace, default_s: float) -> float:
    if args.period_s is None:
        return default_s
    if not args.period_s > 0:
        raise ConfigError(f"--period-s {args.period_s:g}: must be above 0")
    return float(args.period_s)


def _port(args: argparse.Namespace, usual: int) -> int:
    return usual if args.port is None else args.port


_MACHINES: dict[str, Callable[[argparse.Namespace, ExitStack], Machine]] = {
    "plc": _plc,
    "broker": _broker,
    "camera": _camera,
}


@contextmanager
def _shown(machines: Sequence[Machine], *, as_json: bool) -> Iterator[None]:
    """Shows the machines within the block, on a thread."""
    ended = threading.Event()
    is_page = sys.stdout.isatty() and not as_json
    told: dict[str, object] = {}

    def show() -> None:
        views = [machine.view() for machine in machines]
        if is_page:
            sys.stdout.write(screen.page(views))
        for view in () if is_page else views:
            worth = screen.without_heartbeat(view)
            if told.get(view.title) != worth:
                told[view.title] = worth
                print(screen.as_json(view) if as_json else screen.plain(view))
        sys.stdout.flush()

    def follow() -> None:
        period_s = _REDRAWN_S if is_page else 0.02
        while not ended.wait(period_s):
            show()

    thread = threading.Thread(target=follow, name="view", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        show()
