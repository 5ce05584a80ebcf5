"""Measure many lines that leave inference to one Triton server, with faults of server and network.

    python -m studies.fleet --out docs/measured/scale.md

Each simulated station is a thread with the client of a real line: connection, golden frames, hash,
deadline and reconnection. It gets a trigger at fixed times, and a late answer does not delay the
next trigger. Needs Triton's server (make triton-server); the part with a bad network needs root and
nftables, and runs in a network namespace of its own.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edge.recipe.remote import ReconnectingEngine
from export.runtimes import Options, writer_for
from export.timing import interleaved_medians
from inspection.bundle import Bundle, Chosen, open_bundle
from inspection.engine import Engine, TritonServer
from inspection.engine.triton import onnx_model_name
from inspection.errors import EngineError
from inspection.files import sha256_of
from inspection.golden import golden_frames, require_golden
from inspection.inspector import Inspector
from inspection.layout import PreparedFrame
from inspection.opening import open_chosen, open_engine
from linewarden.parser import Parser
from studies.pages.sections import write_page
from studies.slow_network import delayed
from tests.doubles import golden_bundle, triton_server

ARTEFACT = "model.onnx"
SIZE = 256  # of the drawn bundle
STATIONS = (1, 4, 16, 32)
INSTANCES = (1, 2, 4)
UNREAD_FIELD = b"\xc0\x3e\x01"  # of protobuf: another file with the same results
DELAY_MS, LOSS_PERCENT = 20.0, 1
FIRST_S = 2.0  # until the first trigger: all stations are connected by then
COLUMNS = (
    "case",
    "stations",
    "parts/s",
    "triggers",
    "records",
    "judged in time",
    "no verdict",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "server CPU ms per part",
)
METHOD = """\
# Many lines on one server

Made by `make fleet`: Triton 2.51 with the Python backend, which runs the model {name!r},
{size}, by ONNX Runtime on the CPU; {cores} cores for the server and all stations together.
Stations are threads of one process, with the client of a real line. A part has a deadline of
{deadline:.0f} ms from its trigger; the times are from the trigger to the verdict, of the parts that
were judged. The drawn model `brightness` computes almost nothing, so that the figures are those of
the server, the network and the client. The machine had no GPU and other work, with a load average
of {load:.0f}: the times show waiting for a core, and the processor time of the server does not.

One part takes {local:.1f} ms through the local engine and {remote:.1f} ms through the server on
loopback: medians, taken in turn. The difference is the way of the frame ({frame_kb:.0f} kB) and of
the map ({map_kb:.0f} kB), and the question for the hash.

"""


class Record(NamedTuple):
    """The end of one trigger."""

    ms: float
    outcome: str  # a verdict, or the kind of the failure


class Figures(NamedTuple):
    """All records of a fleet, and the time that the server computed."""

    triggers: int
    records: tuple[Record, ...]
    seconds: float
    server_cpu_s: float


class Fleet:
    """Simulated stations on one server.

    Args:
        rate: triggers per second of each station.
        prepared: frames that they inspect in turn.
    """

    def __init__(
        self,
        bundle: Bundle,
        server: TritonServer,
        prepared: Sequence[PreparedFrame],
        *,
        rate: float,
        deadline_ms: float,
    ) -> None:
        self._bundle = bundle
        self._server = server
        self._prepared = prepared
        self._period_ns = round(1e9 / rate)
        self._deadline_ns = round(deadline_ms * 1e6)

    def run(self, stations: int, seconds: float, cpu_s: Callable[[], float]) -> Figures:
        """Runs the stations, with triggers spread evenly over a period."""
        triggers = max(1, round(seconds * 1e9 / self._period_ns))
        records: list[Record] = []
        with ExitStack() as stack:
            inspectors = [self._inspector(stack) for _ in range(stations)]
            start_ns = time.monotonic_ns() + round(FIRST_S * 1e9)
            before_s = cpu_s()
            threads = [
                threading.Thread(
                    target=self._station,
                    args=(one, start_ns + self._period_ns * n // stations, triggers, records),
                )
                for n, one in enumerate(inspectors)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            took_s = (time.monotonic_ns() - start_ns) / 1e9
        return Figures(triggers * stations, tuple(records), took_s, cpu_s() - before_s)

    def _inspector(self, stack: ExitStack) -> Inspector:
        def opened() -> Engine:
            engine = open_chosen(self._bundle, Chosen("triton", ARTEFACT), server=self._server)
            require_golden(self._bundle, ARTEFACT, engine)
            return engine

        engine = ReconnectingEngine(opened)
        stack.callback(engine.close)
        calibration = self._bundle.calibration("default", ARTEFACT)
        return Inspector(self._bundle, calibration, engine)

    def _station(
        self, inspector: Inspector, first_ns: int, triggers: int, records: list[Record]
    ) -> None:
        for number in range(triggers):
            due_ns = first_ns + number * self._period_ns
            time.sleep(max(0.0, (due_ns - time.monotonic_ns()) / 1e9))
            found = inspector.infer(
                self._prepared[number % len(self._prepared)], due_ns + self._deadline_ns
            )
            outcome = _kind(found.message) if found.cause else found.verdict.value
            records.append(Record((time.monotonic_ns() - due_ns) / 1e6, outcome))


def main() -> None:
    parser = Parser(
        prog="python -m studies.fleet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--bundle",
        type=Path,
        help="calibrated through model.onnx (default: a drawn one that computes almost nothing)",
    )
    parser.add_argument("--out", required=True, type=Path, help="Markdown to write")
    parser.add_argument("--rate", type=float, default=0.5, help="triggers per second and station")
    parser.add_argument("--deadline-ms", type=float, default=1000.0)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each case")
    parser.add_argument(
        "--bad-network", action="store_true", help="only the case with delay and loss: print it"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        drawn = Path(folder) / "bundle"
        bundle = open_bundle(args.bundle) if args.bundle else golden_bundle.build(drawn, size=SIZE)
        study = _Study(args, bundle, Path(folder))
        if args.bad_network:
            print("\n".join(study.bad_network()))
            return
        lines = list(study.cases())
        head = study.head()
    lines += _in_a_namespace(sys.argv[1:])
    table = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|", *lines]
    write_page(args.out, head + "\n".join(table) + "\n" + REMARKS)


class _Study:
    """Serves the bundle and runs the cases."""

    def __init__(self, args: argparse.Namespace, bundle: Bundle, folder: Path) -> None:
        self._args = args
        self._bundle = bundle
        self._folder = folder
        self._prepared = [
            PreparedFrame(frame.image[0], None, preprocess_ns=0) for frame in golden_frames(bundle)
        ]

    def head(self) -> str:
        """Returns the method with the overhead of the remote way."""
        graph = self._bundle.manifest.graph
        images = [frame.image[np.newaxis] for frame in self._prepared]
        with (
            self._served() as server,
            closing(open_engine(self._bundle, engine="onnxruntime", artefact=ARTEFACT)) as local,
            closing(
                open_chosen(self._bundle, Chosen("triton", ARTEFACT), server=self._at(server))
            ) as remote,
        ):
            runs = {"local": local.infer, "remote": remote.infer}
            medians = interleaved_medians(runs, images, 30)
        pixels = graph.height * graph.width
        return METHOD.format(
            name=self._bundle.manifest.model,
            size=f"{graph.height} x {graph.width}",
            cores=len(os.sched_getaffinity(0)),
            deadline=self._args.deadline_ms,
            load=os.getloadavg()[1],
            local=medians["local"] * 1e3,
            remote=medians["remote"] * 1e3,
            frame_kb=3 * pixels / 1e3,
            map_kb=4 * pixels / 1e3,
        )

    def cases(self) -> Iterator[str]:
        """Yields the lines of the table."""
        with self._served() as server:
            for stations in STATIONS:
                yield self._line("steady", stations, server)
        for instances in INSTANCES[1:]:
            with self._served(instances) as server:
                yield self._line(f"steady, {instances} instances", 16, server)
        with self._served() as server:
            third_s = FIRST_S + self._args.seconds / 3
            fault = threading.Timer(third_s, _restart, (server,))
            fault.start()
            yield self._line("server killed and started again", 16, server)
            fault.join()
        options = ("--model-control-mode=explicit", "--load-model=*")
        with self._served(options=options) as server:
            fault = threading.Timer(FIRST_S + self._args.seconds / 3, self._roll, (server,))
            fault.start()
            yield self._line("model replaced, and the right one again", 16, server)
            fault.join()

    def bad_network(self) -> Iterator[str]:
        """Yields the line of the case with delay and loss, inside a namespace of its own."""
        with self._served() as server, delayed(server.grpc_port, DELAY_MS) as port:
            address = f"127.0.0.1:{port}"
            name = f"{DELAY_MS:.0f} ms delay, {LOSS_PERCENT}% of the packets lost"
            yield self._line(name, 4, server, address)

    def _roll(self, server: triton_server.TritonServer) -> None:
        """Serves another artefact under the same name for a third of the case."""
        name = onnx_model_name(self._bundle.manifest.name)
        folder = server.repository / name
        config, model = folder / "config.pbtxt", folder / "1/model.onnx"
        settings, content = config.read_text(), model.read_bytes()
        model.write_bytes(content + UNREAD_FIELD)
        config.write_text(settings.replace(self._bundle.sha256(ARTEFACT), sha256_of(model)))
        server.load(name)
        time.sleep(self._args.seconds / 3)
        model.write_bytes(content)
        config.write_text(settings)
        server.load(name)

    def _line(
        self,
        case: str,
        stations: int,
        server: triton_server.TritonServer,
        address: str | None = None,
    ) -> str:
        print(f"{case}: {stations} stations", file=sys.stderr, flush=True)
        fleet = Fleet(
            self._bundle,
            self._at(server, address),
            self._prepared,
            rate=self._args.rate,
            deadline_ms=self._args.deadline_ms,
        )
        cells = figures(fleet.run(stations, self._args.seconds, server.cpu_s))
        return f"| {case} | {stations} | {stations * self._args.rate:g} | {' | '.join(cells)} |"

    @contextmanager
    def _served(
        self, instances: int = 1, options: Sequence[str] = ()
    ) -> Iterator[triton_server.TritonServer]:
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            folder = Path(name)
            writer_for("triton")(self._bundle, folder, Options(backend="python"))
            for config in folder.glob("models/*/config.pbtxt"):
                text = re.sub(r"count: 1 kind", f"count: {instances} kind", config.read_text())
                config.write_text(text)
            server = triton_server.TritonServer(folder, folder / "models", *options)
            server.start()
            try:
                yield server
            finally:
                server.kill()

    def _at(self, server: triton_server.TritonServer, address: str | None = None) -> TritonServer:
        model = onnx_model_name(self._bundle.manifest.name)
        return TritonServer(address=address or server.address, model=model)


def figures(found: Figures) -> list[str]:
    """Returns the cells of one case."""
    outcomes = Counter(record.outcome for record in found.records)
    judged = [r.ms for r in found.records if r.outcome in {"PASS", "REVIEW", "REJECT"}]
    failed = {k: n for k, n in sorted(outcomes.items()) if k not in {"PASS", "REVIEW", "REJECT"}}
    p50, p99, p999 = np.percentile(judged, [50, 99, 99.9]) if judged else [float("nan")] * 3
    return [
        str(found.triggers),
        str(len(found.records)),
        str(len(judged)),
        ", ".join(f"{n} {kind}" for kind, n in failed.items()) or "0",
        f"{p50:.0f}",
        f"{p99:.0f}",
        f"{p999:.0f}",
        f"{found.server_cpu_s / max(1, len(judged)) * 1e3:.0f}",
    ]


def _kind(message: str) -> str:
    """Returns the kind of a failure."""
    if "no answer within" in message or "not asked" in message:
        return "late"
    return "other model" if "is another artefact" in message else "lost"


def _restart(server: triton_server.TritonServer) -> None:
    server.kill()
    time.sleep(1.0)
    server.start()


def _in_a_namespace(arguments: Sequence[str]) -> list[str]:
    """Runs the case with a bad network where only this process tree has that network."""
    rule = f"numgen random mod 100 < {LOSS_PERCENT} drop"
    inner = " && ".join(
        [
            "ip link set lo up",
            "nft add table ip lossy",
            "nft 'add chain ip lossy in { type filter hook input priority 0; }'",
            f"nft 'add rule ip lossy in {rule}'",
            'exec "$@"',
        ]
    )
    command = [sys.executable, "-m", "studies.fleet", *arguments, "--bad-network"]
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", inner, "sh", *command],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise EngineError(f"the case with a bad network needs root and nftables: {done.stderr}")
    return done.stdout.splitlines()


REMARKS = """
- Every trigger ended in one record, also while the server was away: a part whose server is lost is
  `lost` at once, with the reason, and one that gets no answer before its deadline is `late`. While
  another artefact was served under the name, no part was judged.
- The graph has a batch of one, so that Triton does not join requests: more lines share a model by
  more instances, where there are cores for them.
- The delay is that of a relay for both ways together; the loss is a rule of nftables for every
  packet, in a network namespace of the study.
"""


if __name__ == "__main__":
    main()
