"""Measures what a panel costs the line beside it.

    python tests/bench/bench_panel.py [rounds]

A line judges frames of 960x1280 px, 10 a second. In turn, 4 s each: nobody looks, one page follows
the line, 50 connections ask for the events of the page and never read. The panel runs with the
priority of its unit. Prints percentiles of the latency in the records of the line.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from pathlib import Path

import httpx
import numpy as np

from edge.store.reader import Filter, RecordReader
from linewarden.text_table import aligned
from tests import tiny_bundle
from tests.doubles.line_folder import running, write_line, write_parts
from tests.doubles.panel import PASSWORD
from tests.doubles.served_panel import served

HEIGHT, WIDTH = 960, 1280
LINE = """\
camera: {kind: replay, path: parts, loop: true, rate_hz: 10}
control_socket: line.sock
records: {folder: records, images: {max_bytes: 200000000, min_free_bytes: 0}}
"""
EVENTS = "/lines/line/live/events"
DEAF, NICE = 50, 10
MEASURED_S, PAUSE_S = 4.0, 0.5


def write_plant(folder: Path) -> Path:
    tiny_bundle.build(folder / "bundle", frame=(HEIGHT, WIDTH))
    random = np.random.default_rng(0)
    frames = np.clip(random.normal(60, 6, (10, HEIGHT, WIDTH)), 0, 110).astype(np.uint8)
    frames[4::5, 100:140, 200:300] = 250
    write_parts(folder / "parts", *frames)
    return write_line(folder, LINE)


@contextmanager
def logged_in(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, timeout=30, headers={"origin": address}) as client:
        client.post("/login", data={"name": "viewer", "password": PASSWORD})
        yield client


@contextmanager
def nobody(_address: str) -> Iterator[None]:
    yield


@contextmanager
def one_page(address: str) -> Iterator[None]:
    stopping = threading.Event()

    def follow() -> None:
        with logged_in(address) as client, client.stream("GET", EVENTS) as answer:
            for _ in answer.iter_lines():
                if stopping.is_set():
                    return

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


@contextmanager
def deaf(address: str) -> Iterator[None]:
    host, port = address.removeprefix("http://").split(":")
    with ExitStack() as stack, logged_in(address) as client:
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        request = f"GET {EVENTS} HTTP/1.1\r\nHost: {host}:{port}\r\nCookie: {cookie}\r\n\r\n"
        for _ in range(DEAF):
            connection = stack.enter_context(contextlib.closing(socket.socket()))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect((host, int(port)))
            connection.sendall(request.encode())
        yield


VISITORS = {"nobody": nobody, "one page": one_page, f"{DEAF} that never read": deaf}


def main(rounds: int) -> None:
    latency_ms: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        line = write_plant(Path(folder))
        with running(line), served(line) as panel:
            assert panel.process is not None
            os.setpriority(os.PRIO_PROCESS, panel.process.pid, NICE)
            for _ in range(rounds):
                for name, visit in VISITORS.items():
                    with visit(panel.address):
                        time.sleep(PAUSE_S)
                        since = datetime.now(timezone.utc)
                        time.sleep(MEASURED_S)
                        until = datetime.now(timezone.utc)
                    with RecordReader(line.parent / "records") as reader:
                        found = reader.find(Filter(since=since, until=until))
                        latency_ms[name] += [stored.record.latency_ms.total for stored in found]
    rows: list[Sequence[str]] = [("visitors", "parts", "p50 ms", "p90 ms", "p99 ms")]
    for name, values in latency_ms.items():
        figures = (f"{value:.2f}" for value in np.percentile(values, [50, 90, 99]))
        rows.append([name, str(len(values)), *figures])
    print("\n".join(aligned(rows)))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 6)
