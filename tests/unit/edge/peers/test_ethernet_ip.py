"""EtherNet/IP: the bytes are those that a client of another make sends and takes."""

from __future__ import annotations

from collections.abc import Iterator

import pylogix
import pytest

from edge.peers.addresses import EtherNetIpPeer
from edge.peers.ethernet_ip import EtherNetIpSession, ethernet_ip_connection, tag_path
from edge.peers.plc import PlcConnection, PlcError
from edge.sim.logix import BOOL, DINT, INT, STRING, Logix, Tag
from tests.doubles.line_peers import closing, free_port


@pytest.fixture
def logix() -> Iterator[Logix]:
    tags = {
        "Verdict": Tag(DINT, list(range(15))),
        "Program:Main.Count": Tag(INT, [-2]),
        "Go": Tag(BOOL, [1]),
        "Part": Tag(STRING, text="A-17"),
        "Long": Tag(DINT, [0] * 400),
    }
    with closing(Logix(free_port(), tags)) as controller:
        yield controller


@pytest.fixture
def connection(logix: Logix) -> Iterator[PlcConnection[EtherNetIpSession]]:
    peer = EtherNetIpPeer(host="127.0.0.1", port=logix.port, timeout_ms=10_000)
    with closing(ethernet_ip_connection("test", peer)) as connection:
        connection.open()
        yield connection


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("Verdict", "9107 56657264696374 00"),
        ("Verdict[3]", "9107 56657264696374 00 2803"),
        ("Verdict[300]", "9107 56657264696374 00 29002c01"),
        ("Program:Main.Go", "910c 50726f6772616d3a4d61696e 9102 476f"),
        ("A[1].B", "9101 4100 2801 9101 4200"),
    ],
)
def test_the_path_of_a_tag(tag: str, expected: str) -> None:
    """As in 1756-PM020, 'Symbolic Segment Addressing'."""
    assert tag_path(tag) == bytes.fromhex(expected)


def test_another_client_reads_what_is_written(
    logix: Logix, connection: PlcConnection[EtherNetIpSession]
) -> None:
    words = [65535, *range(100, 114)]
    connection.call(lambda session: session.write("Verdict", words))
    connection.call(lambda session: session.write("Long[390]", [7, 8]))
    with pylogix.PLC("127.0.0.1", port=logix.port) as other:
        assert other.Read("Verdict", 15).Value == words
        assert other.Read("Long[391]").Value == 8
        assert other.Read("Part").Value == "A-17"
        assert other.Write("Verdict[1]", 42).Status == "Success"
        other.conn.msg_socket.close()  # which it opens for messages of a controller, and forgets
    assert connection.call(lambda session: session.read("Verdict", 2)) == (65535, 42)


def test_values_of_each_type(connection: PlcConnection[EtherNetIpSession]) -> None:
    count = connection.call(lambda session: session.read_integers("Program:Main.Count"))
    assert count == (65534,)
    assert connection.call(lambda session: session.read_integers("Go")) == (1,)
    assert connection.call(lambda session: session.read_text("Part")) == "A-17"
    with pytest.raises(PlcError, match="should be STRING"):
        connection.call(lambda session: session.read_text("Go"))
    with pytest.raises(PlcError, match=r"another type \(0x2A0\); it should be DINT"):
        connection.call(lambda session: session.read("Part"))


@pytest.mark.parametrize(
    ("place", "byte", "expected"),
    [
        (8, 0x64, "status 0x64"),
        (12, 0x7F, "does not fit the request"),  # the mark of another request
        (40, 0x00, "does not fit the request"),  # the answer to another service
        (42, 0x1E, "CIP status 0x1E"),
        (3, 0xFF, "does not speak EtherNet/IP"),  # a length beyond every answer
    ],
)
def test_an_answer_that_is_not_one_is_named(
    logix: Logix,
    connection: PlcConnection[EtherNetIpSession],
    place: int,
    byte: int,
    expected: str,
) -> None:
    answer = logix.answer

    def spoilt(header: bytes, data: bytes) -> bytes | None:
        whole = bytearray(answer(header, data) or b"")
        whole[place] = byte
        return bytes(whole)

    logix.answer = spoilt
    with pytest.raises(PlcError, match=expected):
        connection.call(lambda session: session.read("Verdict"))
