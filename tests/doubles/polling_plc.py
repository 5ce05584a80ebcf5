"""A PLC that polls a `modbus_server`, and notes each new verdict as `tests.doubles.plc` does.

python -m tests.doubles.polling_plc PORT FILE
"""

from __future__ import annotations

import json
import sys
import time
from typing import TextIO

from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException

BLOCK = 15
PERIOD_S = 0.02


def poll(port: int, notes: TextIO) -> None:
    """Reads the block until the end of the process; connects anew after every failure."""
    client = ModbusTcpClient("127.0.0.1", port=port, timeout=1.0, retries=0)
    seen = ""
    while True:
        time.sleep(PERIOD_S)
        try:
            answer = client.read_input_registers(0, count=BLOCK)
        except (OSError, ModbusException):
            client.close()  # type: ignore[no-untyped-call]
            client.connect()  # type: ignore[no-untyped-call]
            continue
        if answer.isError():
            continue
        text = b"".join(word.to_bytes(2, "big") for word in answer.registers[3:])
        part = text.rstrip(b"\0").decode()
        if part and part != seen:
            seen = part
            entry = {"at": time.time(), "bits": answer.registers[0], "part": part}
            notes.write(json.dumps(entry) + "\n")


if __name__ == "__main__":
    with open(sys.argv[2], "a", buffering=1) as stream:  # noqa: PTH123
        poll(int(sys.argv[1]), stream)
