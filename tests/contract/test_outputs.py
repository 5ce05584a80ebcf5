"""The contract of outputs: every kind in `OUTPUTS` meets it against a real peer on loopback."""

from __future__ import annotations

import gc
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.line import (
    OUTPUTS,
    EtherNetIpConfig,
    JsonLinesConfig,
    LineOutput,
    ModbusConfig,
    ModbusServerConfig,
    MqttConfig,
    OpcUaConfig,
    S7Config,
    StationState,
    WebhookConfig,
    output_from_config,
)
from edge.line.base import NotTakenError
from edge.line.handshake import Bits
from edge.line.signals import Held
from edge.part.record import InspectionRecord, record_from_settled
from edge.part.result import Settled
from edge.part.signal import HasSignals
from edge.station.config import LineConfig
from edge.station.pulse import WITH_BITS
from inspection.config.loading import load_config
from inspection.errors import LineError
from inspection.inspector import no_verdict
from inspection.verdict import Cause, Verdict
from tests.doubles import line_peers as peers

ROOT = Path(__file__).parents[2]
TIMEOUT_MS = 600.0
SLACK_S = 2.5  # the machine is shared; the libraries themselves would wait 3 s and more

PACKAGES = {
    "gpio": "gpiod",
    "modbus": "pymodbus",
    "modbus_server": "pymodbus",
    "mqtt": "paho.mqtt",
    "opcua": "asyncua",
    "s7": "snap7",
    "webhook": "httpx",
}
STATELESS = {"jsonlines", "webhook"}
CANNOT_HANG = {"jsonlines"}
LISTENS = {"modbus_server", "opcua"}
ACKNOWLEDGED = LISTENS | {"modbus", "s7", "ethernet_ip"}
ON_A_LOOP = LISTENS | {"modbus", "s7", "ethernet_ip", "webhook"}
STATES = Bits.READY | Bits.BUSY | Bits.FAULT


@dataclass
class Line:
    kind: str
    output: LineOutput
    peer: peers.Peer

    def open(self) -> None:
        self.output.open()
        self.peer.meet()
        self.output.show(StationState.READY)

    def wait_until_shown(self, bits: Bits, among: Bits) -> None:
        """Waits until the peer sees these bits of `among` alone."""
        peers.wait_for(lambda: self.peer.shown() & among == bits)


def jsonlines(folder: Path) -> Line:
    path = folder / "parts.jsonl"
    config = JsonLinesConfig(kind="jsonlines", path=path)
    return Line("jsonlines", output_from_config(config), peers.File(path))


def modbus(folder: Path) -> Line:
    port = peers.free_port()
    config = ModbusConfig(
        kind="modbus",
        host="127.0.0.1",
        port=port,
        acknowledge_register=peers.ACKNOWLEDGE_REGISTER,
        timeout_ms=TIMEOUT_MS,
    )
    return Line("modbus", output_from_config(config), peers.PlcServer(port))


def modbus_server(folder: Path) -> Line:
    port = peers.free_port()
    config = ModbusServerConfig(
        kind="modbus_server",
        host="127.0.0.1",
        port=port,
        acknowledge_register=peers.ACKNOWLEDGE_REGISTER,
        timeout_ms=TIMEOUT_MS,
    )
    peer = peers.PlcClient(port)
    peer.start()
    return Line("modbus_server", output_from_config(config), peer)


def s7(folder: Path) -> Line:
    port = peers.free_port()
    config = S7Config(
        kind="s7",
        host="127.0.0.1",
        port=port,
        db=peers.DATA_BLOCK,
        acknowledge_byte=peers.ACKNOWLEDGE_BYTE,
        timeout_ms=TIMEOUT_MS,
    )
    return Line("s7", output_from_config(config), peers.S7Plc(port))


def ethernet_ip(folder: Path) -> Line:
    port = peers.free_port()
    config = EtherNetIpConfig(
        kind="ethernet_ip",
        host="127.0.0.1",
        port=port,
        tag="Verdict",
        acknowledge_tag="Taken",
        timeout_ms=TIMEOUT_MS,
    )
    return Line("ethernet_ip", output_from_config(config), peers.LogixPlc(port))


def mqtt(folder: Path) -> Line:
    peer = peers.Broker(peers.free_port(), folder)
    peer.subscribe()
    config = MqttConfig(
        kind="mqtt",
        host="127.0.0.1",
        port=peer.port,
        topic="test/line",
        client_id="station",
        timeout_ms=TIMEOUT_MS,
    )
    return Line("mqtt", output_from_config(config), peer)


def opcua(folder: Path) -> Line:
    port = peers.free_port()
    config = OpcUaConfig(
        kind="opcua", host="127.0.0.1", port=port, acknowledge=True, timeout_ms=TIMEOUT_MS
    )
    peer = peers.UaClient(port)
    peer.start()
    return Line("opcua", output_from_config(config), peer)


def gpio(folder: Path) -> Line:
    pins = peers.Pins()
    return Line("gpio", pins.output(timeout_ms=TIMEOUT_MS), pins)


def webhook(folder: Path) -> Line:
    port = peers.free_port()
    url = f"http://127.0.0.1:{port}/verdicts"
    config = WebhookConfig(kind="webhook", url=url, timeout_ms=TIMEOUT_MS)
    return Line("webhook", output_from_config(config), peers.Receiver(port))


def skip_without_package(kind: str) -> None:
    if kind in PACKAGES:
        pytest.importorskip(PACKAGES[kind], reason=f"needs the package of output {kind!r}")


LINES: dict[str, Callable[[Path], Line]] = {
    make.__name__: make
    for make in (*(jsonlines, modbus, modbus_server, s7, ethernet_ip, mqtt, opcua, gpio, webhook),)
}


# asyncua's server leaves sockets to the garbage collector when a client goes away.
UNTIDY = {"opcua": [pytest.mark.filterwarnings("ignore::ResourceWarning")]}


@pytest.fixture(params=[pytest.param(kind, marks=UNTIDY.get(kind, ())) for kind in sorted(OUTPUTS)])
def line(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Line]:
    skip_without_package(request.param)
    line = LINES[request.param](tmp_path)
    with peers.closing(line.peer):
        yield line
        line.peer.wake()
        line.output.close()
    if request.param in UNTIDY:
        gc.collect()


MakeRecord = Callable[..., InspectionRecord]


@pytest.fixture
def make_record(make_settled: Callable[..., Settled]) -> MakeRecord:

    def make(number: int, verdict: Verdict = Verdict.PASS) -> InspectionRecord:
        if verdict is Verdict.NO_VERDICT:
            settled = make_settled(number, no_verdict(Cause.CAMERA, "the cable is out"))
            return record_from_settled(settled)
        record = record_from_settled(make_settled(number))
        return record.model_copy(update={"verdict": verdict})

    return make


def test_pass_and_reject_are_two_signals_and_neither_is_no_verdict(
    line: Line, make_record: MakeRecord
) -> None:
    line.open()
    verdicts = [Verdict.PASS, Verdict.REJECT, Verdict.NO_VERDICT, Verdict.REVIEW, Verdict.PASS]
    for number, verdict in enumerate(verdicts, start=1):
        line.output.send(make_record(number, verdict))
    peers.wait_for(lambda: len(line.peer.seen) == len(verdicts))
    expected = [(True, False), (False, True), (False, False), (False, True), (True, False)]
    assert [(seen.is_pass, seen.is_reject) for seen in line.peer.seen] == expected
    names = [seen.trigger_id for seen in line.peer.seen]
    if line.kind != "gpio":
        assert names == [f"test-{number:06d}" for number in range(1, 6)]


def test_the_safe_state_stands_before_and_after(line: Line, make_record: MakeRecord) -> None:
    if line.kind in STATELESS:
        pytest.skip("shows no state")
    signals = Bits.READY | Bits.PASS | Bits.REJECT
    line.output.open()
    line.wait_until_shown(Bits(0), among=signals)
    line.output.show(StationState.READY)
    line.wait_until_shown(Bits.READY, among=Bits.READY)
    line.output.send(make_record(1))
    line.output.show(StationState.FAULT)
    line.wait_until_shown(Bits.FAULT, among=signals | Bits.FAULT)
    line.output.show(StationState.READY)
    line.output.send(make_record(2))
    line.output.close()
    if line.kind not in LISTENS:  # the lost connection shows their end
        line.wait_until_shown(Bits(0), among=signals)


def test_a_hung_peer_is_an_error_in_time_and_no_verdict_of_another_part(
    line: Line, make_record: MakeRecord
) -> None:
    if line.kind in CANNOT_HANG:
        pytest.skip("has no peer that could hang")
    line.open()
    line.output.send(make_record(1, Verdict.REJECT))
    peers.wait_for(lambda: len(line.peer.seen) == 1)
    time.sleep(0.05)
    line.peer.hang()
    time.sleep(0.05)
    began = time.monotonic()
    with pytest.raises(LineError, match="test-000002") as caught:
        line.output.send(make_record(2, Verdict.PASS))
    assert time.monotonic() - began < TIMEOUT_MS / 1e3 + SLACK_S
    assert line.kind in str(caught.value)
    if line.kind not in STATELESS:  # known to be down: nothing is waited for
        refused = [make_record(number, Verdict.REJECT) for number in range(4, 9)]
        assert min(_refused_s(line, one) for one in refused) < TIMEOUT_MS / 2e3
    line.peer.wake()
    open_again(line.output)
    line.peer.meet()

    def beat() -> bool:
        """Takes back late verdicts by a heartbeat; returns True when the peer shows none."""
        line.output.show(StationState.FAULT)
        return not line.peer.shown() & (Bits.READY | Bits.PASS | Bits.REJECT)

    peers.wait_for(beat)
    line.output.show(StationState.READY)
    line.output.send(make_record(3, Verdict.REJECT))
    peers.wait_for(lambda: line.peer.seen[-1].trigger_id in ("test-000003", None))
    time.sleep(0.1)
    for seen in line.peer.seen:  # the second may arrive late, then as itself
        assert (seen.is_pass, seen.is_reject) == (
            seen.trigger_id == "test-000002",
            not seen.is_pass,
        )
    numbers = [seen.sequence for seen in line.peer.seen if seen.sequence is not None]
    assert len(set(numbers)) == len(numbers)


def _refused_s(line: Line, record: InspectionRecord) -> float:
    """Returns the time in which an output refuses a verdict."""
    began = time.monotonic()
    with pytest.raises(LineError):
        line.output.send(record)
    return time.monotonic() - began


def test_a_verdict_before_ready_may_stay_without_acknowledge(
    line: Line, make_record: MakeRecord
) -> None:
    """The peer counts from READY; one that polls and takes every number is hung meanwhile."""
    if line.kind not in ACKNOWLEDGED:
        pytest.skip("its peer acknowledges nothing")
    line.output.open()
    line.peer.meet()
    if line.kind in LISTENS:
        line.peer.hang()
    with pytest.raises(NotTakenError, match=f"^{line.kind} .* test-000001 was not acknowledged"):
        line.output.send(make_record(1))
    line.peer.wake()
    assert not line.peer.shown() & (Bits.FAULT | Bits.PASS)
    line.output.show(StationState.READY)
    line.output.send(make_record(2))
    assert [seen.trigger_id for seen in line.peer.seen] == ["test-000002"]


def test_a_stop_while_a_verdict_waits_is_an_error_of_the_line(
    line: Line, make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    if line.kind not in ON_A_LOOP:
        pytest.skip("its calls do not wait on a loop that another thread stops")
    line.open()
    line.peer.hang()
    time.sleep(0.05)
    stop = threading.Timer(TIMEOUT_MS / 1e3 / 4, line.output.close)
    stop.start()
    with pytest.raises(LineError, match=f"^{line.kind} "):
        line.output.send(make_record(1))
    line.peer.wake()
    stop.join()
    gc.collect()
    assert "never retrieved" not in caplog.text


def test_a_hung_peer_leaves_no_error_unseen(
    line: Line, make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    if line.kind not in ON_A_LOOP:
        pytest.skip("has no tasks")
    line.open()
    line.peer.hang()
    time.sleep(0.05)
    with pytest.raises(LineError):
        line.output.send(make_record(1))
    line.peer.wake()
    line.output.close()
    gc.collect()
    assert "never retrieved" not in caplog.text


def open_again(output: LineOutput) -> None:
    """Opens the output as the pipeline does: again, after growing pauses."""
    for attempt in range(6):
        try:
            output.open()
        except LineError:
            time.sleep(0.05 * 2**attempt)
        else:
            return
    output.open()


def test_a_test_signal_is_shown_and_told(line: Line) -> None:
    assert isinstance(line.output, Held) == (line.kind in WITH_BITS)
    if not isinstance(line.output, Held):
        pytest.skip("has no bits to test")
    line.open()
    for bit in (Bits.REJECT, Bits.FAULT, Bits.PASS):
        line.output.hold(bit)
        line.wait_until_shown(bit, among=Bits.READY | Bits.PASS | Bits.REJECT | Bits.FAULT)
        assert isinstance(line.output, HasSignals)
        told = {signal.name: signal.value for signal in line.output.signals()}
        names = ("Result.Pass", "Result.Reject") if line.kind == "opcua" else ("PASS", "REJECT")
        expected = [bit is Bits.PASS, bit is Bits.REJECT]
        assert [told[name] for name in names] == expected
    line.output.hold(Bits(0))
    line.wait_until_shown(Bits(0), among=Bits.READY | Bits.PASS | Bits.REJECT | Bits.FAULT)
    assert not line.peer.seen  # no part was waiting for it


def test_close_is_safe_without_open_and_twice(line: Line) -> None:
    line.output.close()
    line.output.open()
    line.output.close()
    line.output.close()


def test_opened_again_it_works(line: Line, make_record: MakeRecord) -> None:
    line.open()
    line.output.send(make_record(1))
    line.open()
    line.output.send(make_record(2))
    line.output.close()
    line.open()
    line.output.send(make_record(3))
    peers.wait_for(lambda: len(line.peer.seen) == 3)


def test_calls_without_open_are_refused(line: Line, make_record: MakeRecord) -> None:
    with pytest.raises(LineError, match="is not open"):
        line.output.send(make_record(1))
    if line.kind not in STATELESS:
        with pytest.raises(LineError, match="is not open"):
            line.output.show(StationState.READY)


def test_what_cannot_be_opened_is_refused(line: Line, make_record: MakeRecord) -> None:
    if line.kind in ("jsonlines", "webhook"):
        pytest.skip("has a test of its own, or is reached by send")
    if line.kind in LISTENS:
        with socket.socket() as other:
            other.bind(("127.0.0.1", line.output._config.port))  # type: ignore[attr-defined]
            other.listen()
            with pytest.raises(LineError, match="check"):
                line.output.open()
    elif isinstance(line.peer, peers.Pins):
        line.peer.error = OSError(16, "Device or resource busy")
        with pytest.raises(LineError, match="busy; see `gpioinfo`"):
            line.output.open()
    else:
        line.peer.close()
        began = time.monotonic()
        with pytest.raises(LineError, match="check"):
            line.output.open()
        assert time.monotonic() - began < TIMEOUT_MS / 1e3 + SLACK_S
        line.peer.close = lambda: None  # type: ignore[method-assign]
    with pytest.raises(LineError, match="is not open"):
        line.output.send(make_record(1))


def test_the_state_changes_with_every_call(line: Line) -> None:
    if line.kind in STATELESS:
        pytest.skip("shows no state")
    line.open()
    line.wait_until_shown(Bits.READY, among=STATES)
    beat = line.peer.shown() & Bits.HEARTBEAT
    calls = [
        (StationState.BUSY, Bits.BUSY),
        (StationState.FAULT, Bits.FAULT),
        (StationState.READY, Bits.READY),
        (StationState.READY, Bits.READY),
    ]
    for state, bit in calls:
        line.output.show(state)
        beat ^= Bits.HEARTBEAT
        line.wait_until_shown(bit | beat, among=STATES | Bits.HEARTBEAT)


@pytest.mark.parametrize("kind", sorted(OUTPUTS))
def test_each_kind_stands_in_a_ready_configuration(kind: str) -> None:
    texts = [path.read_text() for path in (ROOT / "configs/line").glob("*.yaml")]
    assert any(f"- kind: {kind}" in text for text in texts)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs/line").glob("*.yaml")), ids=lambda p: p.name
)
def test_the_outputs_of_a_ready_configuration_can_be_made(path: Path) -> None:
    for output in load_config(path, LineConfig).outputs:
        skip_without_package(output.kind)
        output_from_config(output).close()


def test_the_kinds_here_are_all() -> None:
    assert set(LINES) == set(OUTPUTS)
