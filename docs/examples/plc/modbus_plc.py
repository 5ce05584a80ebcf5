"""The PLC's half of the handshake by Modbus TCP: docs/guides/plc.md. Needs: pip install pymodbus

The station has the output {kind: modbus_server, port: 502, acknowledge_register: 0}.

python modbus_plc.py HOST [PORT]
"""

import sys
import time

from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException

BLOCK, ACKNOWLEDGE, PERIOD_S = 0, 0, 0.02
READY, RESULT_VALID, PASS, REJECT = 0x0001, 0x0004, 0x0008, 0x0010


def look(client: ModbusTcpClient, expected: int | None, was_ready: bool) -> tuple[int | None, bool]:
    """Reads the block once, takes the verdict that is due; returns the next number, and READY."""
    words = client.read_input_registers(BLOCK, count=15).registers
    status, number, cause = words[:3]
    if status & RESULT_VALID and number == expected:
        verdict = {PASS: "PASS", REJECT: "REJECT"}.get(status & (PASS | REJECT), "NO_VERDICT")
        print(number, verdict, cause, flush=True)  # here the gate moves
        client.write_register(ACKNOWLEDGE, number)
        expected = number % 65535 + 1
    is_ready = bool(status & READY)
    if is_ready and not was_ready:
        expected = number % 65535 + 1  # count anew
    return expected, is_ready


plc = ModbusTcpClient(sys.argv[1], port=int(sys.argv[2]) if len(sys.argv) > 2 else 502, retries=0)
expected, was_ready = None, False
while True:
    try:
        expected, was_ready = look(plc, expected, was_ready)
    except (OSError, ModbusException):  # no answer: the safe state, every part is rejected
        was_ready = False
        plc.close()
        plc.connect()
    time.sleep(PERIOD_S)
