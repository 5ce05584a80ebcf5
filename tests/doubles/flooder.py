"""A process that opens connections, says nothing, and keeps them until its input ends.

python -m tests.doubles.flooder COUNT ADDRESS...    (ADDRESS: a port of 127.0.0.1, or a path)
"""

from __future__ import annotations

import contextlib
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator

HOST = "127.0.0.9"  # another one than that of the clients that should go on


def connect(address: str) -> socket.socket:
    """Connects from `HOST`, or to a Unix domain socket."""
    if address.isdigit():
        return socket.create_connection(("127.0.0.1", int(address)), 30, (HOST, 0))
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    return connection


@contextlib.contextmanager
def flooded(count: int, *addresses: object) -> Iterator[None]:
    """Keeps `count` silent connections to each address within the block."""
    command = [sys.executable, "-m", __name__, str(count), *map(str, addresses)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "connected\n"
        yield


def main() -> None:
    """Floods until the standard input ends."""
    count = int(sys.argv[1])
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    kept = [connect(address) for _ in range(count) for address in sys.argv[2:]]
    print("connected", flush=True)
    sys.stdin.read()
    del kept


if __name__ == "__main__":
    main()
