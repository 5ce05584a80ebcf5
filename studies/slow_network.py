"""A relay on loopback that delays every byte: a network farther away than this machine."""

from __future__ import annotations

import argparse
import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from linewarden.parser import Parser


@contextmanager
def delayed(port: int, delay_ms: float) -> Iterator[int]:
    """Listens on a port that is given to the caller, and passes its connections on.

    Args:
        port: on loopback, where the connections go.
        delay_ms: of both ways together.
    """
    loop = asyncio.new_event_loop()
    relay = _Relay(port, delay_ms / 2e3)
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(
        asyncio.start_server(relay.accept, "127.0.0.1"), loop
    ).result()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


class _Relay:
    def __init__(self, port: int, delay_s: float) -> None:
        self._port = port
        self._delay_s = delay_s

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while block := await reader.read(1 << 16):
            # Each block leaves after its delay; the next is read meanwhile.
            loop.call_later(self._delay_s, writer.write, block)
        loop.call_later(self._delay_s, writer.close)


def main() -> None:
    parser = Parser(
        prog="python -m studies.slow_network",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("port", type=int, metavar="PORT", help="where the connections go")
    parser.add_argument("--delay-ms", type=float, default=20.0)
    args = parser.parse_args()
    with delayed(args.port, args.delay_ms) as port:
        print(f"127.0.0.1:{port}; Ctrl-C ends it", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
