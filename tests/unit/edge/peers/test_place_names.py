"""Places in a PLC have the names that the guide and the tools of the PLC give them."""

from __future__ import annotations

from edge.peers.place_names import db_name, register_name, tag_name
from edge.peers.s7 import DbPlace


def test_words_and_bits_have_the_names_of_the_guide() -> None:
    assert [register_name(4), register_name(4, 2), register_name(4, 0, 8)] == [
        "register 4",
        "register 6",
        "register 4.8",
    ]
    block = DbPlace(10, 0)
    assert [db_name(block), db_name(block, 1)] == ["DB10.DBW0", "DB10.DBW2"]
    assert [db_name(block, 0, 0), db_name(block, 0, 7), db_name(block, 0, 8)] == [
        "DB10.DBX1.0",
        "DB10.DBX1.7",
        "DB10.DBX0.0",
    ]
    assert [tag_name("LW"), tag_name("P:X.LW[5]", 2), tag_name("LW", 0, 8)] == [
        "LW[0]",
        "P:X.LW[7]",
        "LW[0].8",
    ]
