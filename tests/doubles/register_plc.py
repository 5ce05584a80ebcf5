"""A PLC for tests: a Modbus TCP server whose registers and coils a test reads and writes."""

from __future__ import annotations

from pymodbus.client import ModbusTcpClient
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from edge.peers.loop_thread import LoopThread


class RegisterPlc:
    """Serves 16 bits and 64 holding registers as device 1; `client` is the test's own way in."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._loop = LoopThread("plc")
        self._server = self._loop.run(self._start(), 5.0)
        self.client = ModbusTcpClient("127.0.0.1", port=port)

    async def _start(self) -> ModbusTcpServer:
        bits = [SimData(0, count=16, values=False, datatype=DataType.BITS)]
        words = [SimData(0, count=64, datatype=DataType.REGISTERS)]
        unused = [SimData(0, count=1, datatype=DataType.REGISTERS)]
        device = SimDevice(1, simdata=(bits, list(bits), words, unused))
        server = ModbusTcpServer(device, address=("127.0.0.1", self.port))
        await server.serve_forever(background=True)
        return server

    def write(self, address: int, *values: int) -> None:
        assert not self.client.write_registers(address, list(values), device_id=1).isError()

    def close(self) -> None:
        self.client.close()  # type: ignore[no-untyped-call]
        self._loop.run(self._server.shutdown(), 5.0)  # type: ignore[no-untyped-call]
        self._loop.stop()
