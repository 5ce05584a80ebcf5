"""A simulated GPU: memory with guard bytes, streams that wait, graphs that replay, errors.

The modules `cuda_python` and `pycuda` beside this one are the two Python bindings over it, with the
return values and exceptions of the real ones. Enqueued work runs only when the program waits for
it: a missing wait shows as stale results.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

GUARD = 64
GUARD_BYTE, FRESH_BYTE = 0xA5, 0xCD
STICKY = {214, 220, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 721, 999}
Operation = Callable[[], None]


class CallError(Exception):
    """The error code of a CUDA call."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class _Allocation:
    kind: str
    size: int
    buffer: Any

    def is_intact(self) -> bool:
        guard = bytes([GUARD_BYTE]) * GUARD
        raw = bytes(self.buffer)
        return raw[:GUARD] == guard and raw[GUARD + self.size :] == guard


@dataclass
class _Stream:
    pending: list[Operation] = field(default_factory=list)
    captured: list[Operation] | None = None
    is_capture_broken: bool = False


class SimulatedDevice:
    """One GPU.

    Attributes:
        calls: names of the CUDA calls made, in order.
        faults: mistakes of the program; a test asserts that there are none.
        lost: the sticky error that ended the context, or 0.
    """

    def __init__(
        self,
        *,
        name: str = "Simulated Orin",
        compute_capability: tuple[int, int] = (8, 7),
        multiprocessors: int = 16,
        driver: int = 12060,
        runtime: int = 12060,
        uuid: bytes = b"0123456789abcdef",
    ) -> None:
        self.name, self.compute_capability, self.uuid = name, compute_capability, uuid
        self.multiprocessors, self.driver, self.runtime = multiprocessors, driver, runtime
        self.calls: list[str] = []
        self.faults: list[str] = []
        self.lost = 0
        self._injected: dict[tuple[str, int], int] = {}
        self._allocations: dict[int, _Allocation] = {}
        self._streams: dict[int, _Stream] = {}
        self._events: dict[int, int] = {}
        self._graphs: dict[int, list[Operation]] = {}
        self._executables: dict[int, list[Operation]] = {}
        self._next = 0x1000

    def inject(self, call: str, code: int, nth: int = 1) -> None:
        """Lets the n-th call of this name from now on fail."""
        self._injected[call, self.calls.count(call) + nth] = code

    def alive(self) -> dict[str, int]:
        """Number of unreleased objects of each kind."""
        kinds = [a.kind for a in self._allocations.values()]
        counts = {kind: kinds.count(kind) for kind in sorted(set(kinds))}
        for what in ("streams", "events", "graphs", "executables"):
            if held := getattr(self, f"_{what}"):
                counts[what] = len(held)
        return counts

    def enter(self, call: str) -> None:
        """Begins a call; raises the injected error."""
        self.calls.append(call)
        code = self._injected.pop((call, self.calls.count(call)), 0)
        if code in STICKY:
            self.lost = code
        if self.lost or code:
            raise CallError(self.lost or code)

    def allocate(self, kind: str, size: int) -> int:
        """Returns the address of memory with guard bytes around it, filled with arbitrary bytes."""
        self._forbid_in_capture()
        buffer = (ctypes.c_ubyte * (size + 2 * GUARD))()
        ctypes.memset(buffer, GUARD_BYTE, len(buffer))
        address = ctypes.addressof(buffer) + GUARD
        ctypes.memset(address, FRESH_BYTE, size)
        self._allocations[address] = _Allocation(kind, size, buffer)
        return address

    def free(self, kind: str, address: int) -> None:
        """Releases memory; a double release, or damage around it, is a fault."""
        allocation = self._allocations.pop(address, None)
        if allocation is None or allocation.kind != kind:
            self.faults.append(f"{kind} memory released that is not allocated")
        elif not allocation.is_intact():
            self.faults.append(f"{kind} memory was written beyond its end")

    def read(self, address: int, size: int) -> bytes:
        """Reads memory as the device does."""
        self._check(address, size)
        return ctypes.string_at(address, size)

    def write(self, address: int, content: bytes) -> None:
        """Writes memory as the device does."""
        self._check(address, len(content))
        ctypes.memmove(address, content, len(content))

    def create_stream(self) -> int:
        """Returns an empty stream."""
        handle = self._handle()
        self._streams[handle] = _Stream()
        return handle

    def destroy_stream(self, handle: int) -> None:
        """Releases a stream."""
        if self._streams.pop(handle, None) is None:
            self.faults.append("a stream was released twice")

    def create_event(self) -> int:
        """Returns an event that is not recorded."""
        handle = self._handle()
        self._events[handle] = 0
        return handle

    def destroy_event(self, handle: int) -> None:
        """Releases an event."""
        if self._events.pop(handle, None) is None:
            self.faults.append("an event was released twice")

    def enqueue(self, stream: int, operation: Operation) -> None:
        """Puts work into a stream, or into the graph that the stream records."""
        target = self._stream(stream)
        (target.pending if target.captured is None else target.captured).append(operation)

    def copy(self, target: int, source: int, size: int, kinds: tuple[str, str]) -> None:
        """Copies now, from memory of one kind to memory of another."""
        for address, kind in zip((target, source), kinds, strict=True):
            if self._check(address, size).kind != kind:
                self.faults.append(f"a copy took {kind} memory for what is none")
        self.write(target, self.read(source, size))

    def record(self, event: int, stream: int) -> None:
        """Marks the end of the work in the stream."""
        self._stream(stream)
        self._events[event] = stream

    def synchronize(self, event: int) -> None:
        """Runs the work before the mark."""
        self._forbid_in_capture()
        stream = self._stream(self._events[event])
        pending, stream.pending = stream.pending, []
        for operation in pending:
            operation()

    def begin_capture(self, stream: int) -> None:
        """Records enqueued work instead of running it."""
        self._stream(stream).captured = []

    def end_capture(self, stream: int) -> int:
        """Returns the recorded graph."""
        target = self._stream(stream)
        captured, target.captured = target.captured, None
        broken, target.is_capture_broken = target.is_capture_broken, False
        if broken or captured is None:
            raise CallError(901)
        handle = self._handle()
        self._graphs[handle] = captured
        return handle

    def abandon_capture(self, stream: int) -> None:
        """Ends a capture that failed."""
        self._stream(stream).captured = None

    def instantiate(self, graph: int) -> int:
        """Returns a graph that can be launched."""
        handle = self._handle()
        self._executables[handle] = list(self._graphs[graph])
        return handle

    def launch(self, executable: int, stream: int) -> None:
        """Replays a graph."""
        for operation in self._executables[executable]:
            self.enqueue(stream, operation)

    def destroy_graph(self, kind: str, handle: int) -> None:
        """Releases a graph or an executable graph."""
        held = self._graphs if kind == "graph" else self._executables
        if held.pop(handle, None) is None:
            self.faults.append("a graph was released twice")

    def _handle(self) -> int:
        self._next += 16
        return self._next

    def _stream(self, handle: int) -> _Stream:
        if handle not in self._streams:
            self.faults.append("a stream was used that does not exist")
            raise CallError(400)
        return self._streams[handle]

    def _check(self, address: int, size: int) -> _Allocation:
        for start, allocation in self._allocations.items():
            if start <= address and address + size <= start + allocation.size:
                return allocation
        self.lost = 700
        raise CallError(700)

    def _forbid_in_capture(self) -> None:
        for stream in self._streams.values():
            if stream.captured is not None:
                stream.is_capture_broken = True
                raise CallError(900)
