"""Simulate the machines around a line, so that it can be wired and shown without hardware.

  line     run a whole line: the configuration as written, with a machine at every address,
           drawn parts in place of the camera, and a bundle that calls a bright spot a defect
  plc      a PLC that takes verdicts, with the protocol and the places of a configuration: Modbus
           TCP, S7 or EtherNet/IP
  broker   an MQTT broker (mosquitto) that shows all verdicts
  camera   a network camera (MJPEG) with drawn parts, or with the images of a folder

The terminal shows every bit by its name. With --json, or where standard output is not a
terminal, each change is one line. 'line' writes all files into --out, with the configuration
as it runs (line.yaml), and prints what differs from yours; it ends after --parts, or with
Ctrl-C. With --panel it also serves the web pages of the line while it runs, at the address
that it prints. The other three run until Ctrl-C; connect a real station to them, or
'linewarden run' with --set. The PLC takes the verdicts of parts that come after READY, and
the first frame of a recording may come before.

examples:
  linewarden simulate line --config configs/line/modbus.yaml
  linewarden simulate line --config configs/line/modbus.yaml --panel
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
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from edge.part.record import InspectionRecord
from edge.service.run import describe, run_line
from edge.service.unblocked import UnblockedStream
from edge.sim import screen
from edge.sim.base import LOOPBACK, Machine, free_port
from edge.sim.broker import Broker
from edge.sim.camera import MjpegCamera, jpegs
from edge.sim.line import simulated
from edge.sim.parts import drawn_part
from edge.sim.plc import Plc, Registers
from edge.sim.plcs import plc_at, plc_peers
from edge.station.config import LineConfig
from inspection.config.loading import dump_yaml, load_config
from inspection.errors import ConfigError
from inspection.files import write_text
from inspection.images import list_images, read_image
from linewarden import panel_process
from linewarden.commands.run import print_line

_REDRAWN_S = 0.2
_PART_S, _FRAME_S = 0.5, 0.2
_PLC_PORT = 1502  # the usual ones of S7 and Modbus are for root alone
_CTRL_C = "Ctrl-C ends it"
_NAME = "simulated"  # of the line on the pages
_LOOK_S = 0.05
_TAKEN_BY = {  # the machines that read an option
    "config": {"line", "plc"},
    "set": {"line", "plc"},
    "port": {"plc", "broker", "camera"},
    "parts": {"line"},
    "period_s": {"line", "camera"},
    "images": {"camera"},
    "out": {"line"},
    "panel": {"line"},
}


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
    parser.add_argument(
        "--panel", action="store_true", help="line: serve its web pages while it runs"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per change")


def run(args: argparse.Namespace) -> int:
    """Simulates until the line ends, or until Ctrl-C or SIGTERM."""
    _refuse_unread(args)
    with ExitStack() as stack:
        # The default of SIGTERM would leave broker and panel, which are processes, behind.
        before = signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
        stack.callback(signal.signal, signal.SIGTERM, before)
        if args.machine == "line":
            return _line(args, stack)
        machine = _MACHINES[args.machine](args, stack)
        stack.callback(machine.close)
        print(_CTRL_C, file=sys.stderr)
        with _shown([machine], [_CTRL_C], as_json=args.json), suppress(KeyboardInterrupt):
            threading.Event().wait()
    return 0


def _refuse_unread(args: argparse.Namespace) -> None:
    """Raises ConfigError for an option that the machine would ignore."""
    for name, machines in _TAKEN_BY.items():
        if getattr(args, name) not in (None, False, []) and args.machine not in machines:
            raise ConfigError(
                f"--{name.replace('_', '-')} is for simulate {' and '.join(sorted(machines))}, not "
                f"for {args.machine}: leave it out"
            )


def _line(args: argparse.Namespace, stack: ExitStack) -> int:
    config = _config(args)
    if args.parts is not None and args.parts < 1:
        raise ConfigError(f"--parts {args.parts}: must be 1 or more")
    period_s = _period_s(args, _PART_S)
    if args.panel:
        panel_process.require_packages()
    folder = stack.enter_context(_folder(args.out))
    plant = stack.enter_context(
        simulated(config, folder, parts=args.parts, period_s=period_s, for_panel=args.panel)
    )
    as_it_runs = folder / "line.yaml"
    write_text(as_it_runs, dump_yaml(plant.config))
    notes = [f"simulated: {note}" for note in plant.notes]
    if args.panel:
        notes += stack.enter_context(_panel(as_it_runs))
    if args.parts is None:
        notes.append(_CTRL_C)
    print("\n".join(notes), file=sys.stderr)
    terminal = UnblockedStream(sys.stderr)
    is_quiet = args.json or (sys.stdout.isatty() and plant.machines)
    on_record = _ignore if is_quiet else partial(print_line, terminal)
    with _shown(plant.machines, notes, as_json=args.json):
        summary, number = run_line(plant.config, on_record, parts=args.parts)
    terminal.close()
    if args.json:
        print(json.dumps({"summary": summary.as_json()}))
    else:
        print("\n".join(describe(summary)))
    if summary.error is not None:
        raise summary.error
    return 128 + number if number else 0


@contextmanager
def _panel(line: Path) -> Iterator[list[str]]:
    """Serves the web pages of the line within the block; yields their address for people."""
    port = free_port()
    config = panel_process.write_config(line, _NAME, port=port)
    log = line.with_name("panel.log")
    with (
        log.open("wb") as stream,
        panel_process.process("panel", config, stdout=stream, stderr=stream) as panel,
    ):
        _await_answer(panel, port, log)
        yield [
            f"panel at http://{LOOPBACK}:{port}/lines/{_NAME}/live",
            f"to change things there log in as admin; the one-time password is in {log}",
        ]


def _await_answer(panel: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Waits for the panel; raises ConfigError with its words when it has ended instead."""
    while panel.poll() is None:
        with suppress(OSError), socket.create_connection((LOOPBACK, port)):
            return
        time.sleep(_LOOK_S)
    raise ConfigError(f"the panel ended: {log.read_text().strip()}")


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
def _shown(machines: Sequence[Machine], notes: Sequence[str], *, as_json: bool) -> Iterator[None]:
    """Shows the machines within the block, on a thread; notes are for a page, which clears all."""
    ended, reader_ended = threading.Event(), threading.Event()
    is_page = bool(machines) and sys.stdout.isatty() and not as_json
    told: dict[str, object] = {}

    def show() -> None:
        views = [machine.view() for machine in machines]
        if is_page:
            sys.stdout.write(screen.page(views, notes))
        for view in () if is_page else views:
            worth = screen.without_heartbeat(view)
            if told.get(view.title) != worth:
                told[view.title] = worth
                print(screen.as_json(view) if as_json else screen.plain(view))
        sys.stdout.flush()

    def follow() -> None:
        period_s = _REDRAWN_S if is_page else 0.02
        try:
            while not ended.wait(period_s):
                show()
        except BrokenPipeError:
            reader_ended.set()
            os.kill(os.getpid(), signal.SIGINT)  # ends the line in order

    thread = threading.Thread(target=follow, name="view", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        if reader_ended.is_set():
            raise BrokenPipeError
        show()
