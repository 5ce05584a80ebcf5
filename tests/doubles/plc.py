"""A PLC that notes everything it is told: one JSON line per write, with its time.

python -m tests.doubles.plc PORT FILE
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import TextIO

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

BLOCK = 15


async def serve(port: int, notes: TextIO) -> None:
    """Take writes of the block of `edge.line.block` until the end of the process."""

    async def note(*access: object) -> None:
        values = access[-1]
        if isinstance(values, list) and len(values) == BLOCK:
            text = b"".join(int(word).to_bytes(2, "big") for word in values[3:])
            entry = {"at": time.time(), "bits": values[0], "part": text.rstrip(b"\0").decode()}
            notes.write(json.dumps(entry) + "\n")

    bits = [SimData(0, count=16, values=False, datatype=DataType.BITS)]
    words = [SimData(0, count=64, datatype=DataType.REGISTERS)]
    unused = [SimData(0, count=1, datatype=DataType.REGISTERS)]
    device = SimDevice(1, simdata=(bits, list(bits), words, unused), action=note)
    await ModbusTcpServer(device, address=("127.0.0.1", port)).serve_forever()


if __name__ == "__main__":
    with open(sys.argv[2], "a", buffering=1) as stream:  # noqa: PTH123
        asyncio.run(serve(int(sys.argv[1]), stream))
