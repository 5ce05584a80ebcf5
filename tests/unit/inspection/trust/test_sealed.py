"""Tests that a record from a disk is read with bounds, and that its first wrong key is named."""

import os
from pathlib import Path

import pytest

from inspection.errors import BundleError
from inspection.trust.sealed import Sealed, Strict, parse_record, parse_sealed, read_content

MEND = "write it again"


class Inner(Strict):
    value: float


class Record(Sealed):
    number: int
    inner: Inner


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Invalid JSON: EOF while parsing a value at line 1 column 0"),
        (b"\xff\xfe", "Invalid JSON: "),
        (b"[]", "Input should be an object"),
        (b"null", "Input should be an object"),
        (b"{}", "number: Field required"),
        (b'{"number": 1, "inner": {"value": NaN}}', "inner.value: Input should be a finite number"),
        (b'{"number": 1, "inner": {"value": 1e999}}', "inner.value: Input should be a finite numb"),
        (b'{"number": "one", "inner": {"value": 1}}', "number: Input should be a valid integer"),
        (b'{"number": 1, "inner": 1}', "inner: Input should be an object"),
        (b'{"number": ' + b"9" * 5000 + b', "inner": {"value": 1}}', "number out of range"),
        (b'{"number": 1, "inner": {"value": ' + b"9" * 5000 + b"}}", "number out of range"),
        (b'{"number": 1, "inner": ' + b"[" * 60_000, "Invalid JSON: "),
        (b'{"number": 1, "inner": {"value": 1, "more\\u001b[2K": 1}}', "inner.more?[2K: Extra inp"),
        (b'{"number": 1, "inner": {"value": 1}, "' + b"k" * 9000 + b'": 1}', "kkkk"),
        (b'{"number": 1, "inner": {"value": 1}, "\\ud800": 1}', "Invalid JSON: "),
    ],
)
def test_the_first_wrong_key_is_named(content: bytes, reason: str) -> None:
    with pytest.raises(BundleError) as refused:
        parse_record(content, Path("a.json"), Record, MEND)
    message = str(refused.value)
    assert message.startswith("a.json: is not a record (")
    assert reason in message
    assert message.endswith(f": {MEND}")
    assert message.isprintable()
    assert len(message) < 300


def test_a_changed_record_is_found() -> None:
    record = Record(number=1, inner=Inner(value=0.5)).sealed()
    content = record.model_dump_json().encode()
    assert parse_sealed(content, Path("a.json"), Record, MEND) == record
    with pytest.raises(BundleError, match=r"the record was changed after it was written: write it"):
        parse_sealed(content.replace(b"0.5", b"0.6"), Path("a.json"), Record, MEND)


def test_only_a_file_of_bounded_size_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"12345")
    assert read_content(path, MEND, max_bytes=5) == b"12345"
    path.write_bytes(bytes((2 << 20) + 1))
    with pytest.raises(BundleError, match=r"has more than 2 MiB, and no such file is so large"):
        read_content(path, MEND, max_bytes=2 << 20)
    os.mkfifo(tmp_path / "pipe")
    for what, reason in (("pipe", "is not a file"), ("", "cannot be read"), ("b", "cannot be re")):
        with pytest.raises(BundleError, match=reason):
            read_content(tmp_path / what, MEND)
