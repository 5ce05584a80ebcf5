"""Messages of peers: bounded in size and depth, strict in their types."""

from __future__ import annotations

import pytest

from edge.peers.messages import (
    MESSAGE_MAX_BYTES,
    Message,
    MessageError,
    Name,
    checked,
    json_value,
)


class Order(Message):
    number: int
    id: Name | None = None


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b" " * MESSAGE_MAX_BYTES + b"1", "it is longer than 4096 bytes"),
        (b"[" * 60_000, "it is longer than 4096 bytes"),
        (b"[" * 300 + b"]" * 300, "it is not JSON: recursion limit"),
        (b'{"a":' * 300 + b"1" + b"}" * 300, "it is not JSON: recursion limit"),
        (b"", "it is not JSON: EOF"),
        (b"NaN", "it is not JSON"),
        (b'"\xff"', "it is not JSON"),
        (b"1 1", "it is not JSON: trailing"),
    ],
    ids=lambda value: value[:30],
)
def test_what_is_not_a_bounded_json_text(data: bytes, match: str) -> None:
    with pytest.raises(MessageError, match=match):
        json_value(data)


def test_a_text_within_the_bounds() -> None:
    assert json_value(b'{"number": 2}') == {"number": 2}
    assert json_value(b"1".rjust(MESSAGE_MAX_BYTES)) == 1
    assert json_value(b"1".rjust(MESSAGE_MAX_BYTES + 1), MESSAGE_MAX_BYTES + 1) == 1


@pytest.mark.parametrize("number", [True, "2", 2.0, None, [2]])
def test_a_number_is_nothing_else(number: object) -> None:
    with pytest.raises(MessageError, match=r"^'number': Input should be a valid integer$"):
        checked(Order, {"number": number})


def test_a_message_names_each_problem() -> None:
    with pytest.raises(MessageError) as told:
        checked(Order, {"number": 1, "id": "a" * 129, "ID": 1, "x\ny": 1})
    assert str(told.value).split("; ") == [
        "'id': Value should have at most 128 items after validation, not 129",
        "'ID': Extra inputs are not permitted",
        "'x\\ny': Extra inputs are not permitted",
    ]
    with pytest.raises(MessageError, match=r"^Input should be a valid dictionary"):
        checked(Order, [1])


def test_many_problems_are_a_short_text() -> None:
    with pytest.raises(MessageError) as told:
        checked(Order, {str(key): 1 for key in range(400)})
    assert len(str(told.value)) <= 400


def test_a_name_may_be_a_number() -> None:
    assert checked(Order, {"number": 1, "id": 7}).id == "7"
    assert checked(Order, {"number": 1, "id": "order 7"}).id == "order 7"
    assert checked(Order, {"number": 1, "id": None}).id is None
    with pytest.raises(MessageError, match="'id': Input should be a valid string"):
        checked(Order, {"number": 1, "id": True})
