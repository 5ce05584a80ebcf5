"""OPC UA: nodes named after OPC 40100-1, their values, and access to them."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

pytest.importorskip("asyncua")

from asyncua import ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from asyncua.sync import Client
from asyncua.ua.uaerrors import UaError

from edge.line import OpcUaConfig, StationState, output_from_config
from edge.line.opcua import NAMESPACE, OpcUa
from edge.part.record import InspectionRecord, record_from_settled
from edge.part.result import Settled
from inspection.errors import LineError
from inspection.inspector import no_verdict
from inspection.verdict import Cause
from tests.doubles.certificates import certificate
from tests.doubles.flooder import flooded
from tests.doubles.line_peers import closing, free_port

PORT = free_port()
URL = f"opc.tcp://127.0.0.1:{PORT}/linewarden"

# asyncua's server leaves sockets to the garbage collector when a client goes away.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

# The server takes seconds to start on a shared processor: all of these tests use one.


def config(**settings: Any) -> OpcUaConfig:
    defaults = {"kind": "opcua", "host": "127.0.0.1", "port": PORT, "timeout_ms": 300}
    return OpcUaConfig.model_validate(defaults | settings)


@pytest.fixture(scope="module")
def output() -> Iterator[OpcUa]:
    output = output_from_config(config(hold_ms=0.1))
    assert isinstance(output, OpcUa)
    output.open()
    yield output
    output.close()


@contextmanager
def connected(prepare: Callable[[Client], None] = lambda _client: None) -> Iterator[Client]:
    client = Client(URL, timeout=10)
    prepare(client)
    try:
        client.connect()
    except BaseException:
        client.tloop.stop()
        raise
    try:
        yield client
    finally:
        client.disconnect()


def values(client: Client) -> dict[str, Any]:
    index = client.get_namespace_index(NAMESPACE)
    system = client.get_node(f"ns={index};s=VisionSystem")
    found: dict[str, Any] = {}
    for folder in (system, client.get_node(f"ns={index};s=VisionSystem.Result")):
        for node in folder.get_variables():
            found[node.read_browse_name().Name] = node.read_value()
    return found


def test_a_verdict_stands_in_the_nodes(output: OpcUa, make_settled: Callable[..., Settled]) -> None:
    record = record_from_settled(make_settled(1)).model_copy(update={"recipe_number": 7})
    output.open()
    with connected() as client:
        output.send(record)
        shown = values(client)
        assert (shown["Valid"], shown["Pass"], shown["Reject"]) == (True, False, True)
        assert (shown["ResultId"], shown["InternalRecipeId"]) == ("test-000001", "default")
        assert shown["ExternalRecipeId"] == "7"
        assert shown["ResultState"] == 1
        assert shown["CreationTime"].replace(tzinfo=None) == record.triggered_utc.replace(
            tzinfo=None
        )
        assert InspectionRecord.model_validate(json.loads(shown["ResultContent"])) == record
        output.show(StationState.BUSY)
        shown = values(client)
        assert (shown["Valid"], shown["Reject"]) == (False, False)
        assert shown["CurrentState"] == "SingleExecution"


def test_no_verdict_is_neither(output: OpcUa, make_settled: Callable[..., Settled]) -> None:
    settled = make_settled(2, no_verdict(Cause.ENGINE, "it failed"))
    output.open()
    with connected() as client:
        before = values(client)
        output.send(record_from_settled(settled))
        shown = values(client)
    assert (shown["Valid"], shown["Pass"], shown["Reject"]) == (True, False, False)
    assert shown["ResultState"] == 4
    assert shown["SequenceNumber"] == before["SequenceNumber"] % 65535 + 1
    assert shown["Heartbeat"] == before["Heartbeat"] + 1


def test_states_have_the_names_of_the_specification(output: OpcUa) -> None:
    output.open()
    with connected() as client:
        names = [values(client)["CurrentState"]]
        for state in StationState:
            output.show(state)
            names.append(values(client)["CurrentState"])
    assert names == ["Initialized", "Ready", "SingleExecution", "Error"]


def test_clients_write_nothing_but_the_acknowledge(output: OpcUa) -> None:
    output.open()
    with connected() as client:
        index = client.get_namespace_index(NAMESPACE)
        with pytest.raises(UaError):
            client.get_node(f"ns={index};s=VisionSystem.Result.Pass").write_value(True)
        number = ua.DataValue(ua.Variant(7, ua.VariantType.UInt16))
        client.get_node(f"ns={index};s=VisionSystem.AcknowledgedSequence").write_value(number)
        assert values(client)["AcknowledgedSequence"] == 7


def test_an_array_of_acknowledges_is_none(
    output: OpcUa, make_record: Callable[[int], InspectionRecord]
) -> None:
    output.close()
    with closing(output_from_config(config(acknowledge=True))) as acknowledged:
        acknowledged.open()
        acknowledged.show(StationState.READY)
        with connected() as client:
            index = client.get_namespace_index(NAMESPACE)
            numbers = ua.DataValue(ua.Variant([1, 2], ua.VariantType.UInt16))
            client.get_node(f"ns={index};s=VisionSystem.AcknowledgedSequence").write_value(numbers)
            with pytest.raises(LineError, match="no client acknowledged the verdict"):
                acknowledged.send(make_record(1))


def test_silent_connections_leave_the_clients_alone(output: OpcUa) -> None:
    output.open()
    with connected() as client, flooded(100, PORT):
        assert "Valid" in values(client)
        with connected() as another:
            assert "Valid" in values(another)


def test_a_message_without_an_end_is_broken_off(output: OpcUa) -> None:
    output.open()
    with socket.create_connection(("127.0.0.1", PORT), timeout=30) as client:
        client.sendall(b"HELF" + (2**31).to_bytes(4, "little"))
        with pytest.raises(ConnectionError):
            client.sendall(b"x" * (64 << 20))


# asyncua warns about certificates that name no host; these are for an address.
@pytest.mark.filterwarnings("ignore")
def test_a_protected_server_lets_in_who_may(output: OpcUa, tmp_path: Path) -> None:
    output.close()
    certificate_file, key_file = certificate(tmp_path, "server", "urn:linewarden:line")
    (tmp_path / "trusted").mkdir()
    own, own_key = certificate(tmp_path / "trusted", "client", "urn:client")
    stranger, stranger_key = certificate(tmp_path, "stranger", "urn:client")
    (tmp_path / "trusted" / "client-key.pem").rename(tmp_path / "client-key.pem")
    own_key = tmp_path / "client-key.pem"
    (tmp_path / "password").write_text("right\n")
    security = {
        "certificate_file": certificate_file,
        "key_file": key_file,
        "trusted_folder": tmp_path / "trusted",
        "username": "line3",
        "password": {"file": tmp_path / "password"},
    }
    protected = output_from_config(config(security=security))
    protected.open()

    def let_in(mine: Path, key: Path, password: str) -> bool:
        def prepare(client: Client) -> None:
            client.aio_obj.application_uri = "urn:client"
            client.set_user("line3")
            client.set_password(password)
            client.set_security(SecurityPolicyBasic256Sha256, str(mine), str(key))

        try:
            with connected(prepare) as client:
                return "Valid" in values(client)
        except (UaError, OSError, TimeoutError):
            return False

    try:
        assert let_in(own, own_key, "right")
        assert not let_in(own, own_key, "wrong")
        assert not let_in(stranger, stranger_key, "right")
        with pytest.raises((UaError, OSError, ValueError)), connected():
            pass
    finally:
        protected.close()


def test_a_certificate_that_is_not_there_is_named(output: OpcUa, tmp_path: Path) -> None:
    output.close()
    security = {"certificate_file": tmp_path / "no.pem", "key_file": tmp_path / "no-key.pem"}
    with pytest.raises(LineError, match=r"no\.pem.*; check host, port and the files"):
        output_from_config(config(security=security)).open()


def test_a_password_needs_a_name() -> None:
    security = {"certificate_file": "a", "key_file": "b", "password": {"env": "A"}}
    with pytest.raises(ValidationError, match="belong together"):
        config(security=security)
