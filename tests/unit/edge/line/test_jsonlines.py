"""JSON lines: appended at once, repaired after a kill, errors named."""

import json
import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest

from edge.line import JsonLinesConfig, StationState, output_from_config
from edge.line.jsonlines import JsonLines
from edge.part.record import InspectionRecord
from inspection.errors import LineError

MakeRecord = Callable[[int], InspectionRecord]


def json_lines(path: Path | Literal["-"]) -> JsonLines:
    return JsonLines(JsonLinesConfig(kind="jsonlines", path=path))


def ids(path: Path) -> list[str]:
    return [json.loads(line)["trigger_id"] for line in path.read_text().splitlines()]


def send(path: Path, *records: InspectionRecord) -> None:
    output = json_lines(path)
    output.open()
    for record in records:
        output.send(record)
    output.close()


def test_every_kind_has_a_configuration() -> None:
    output = output_from_config(JsonLinesConfig(kind="jsonlines", path="-"))
    assert isinstance(output, JsonLines)


def test_a_line_is_there_at_once(tmp_path: Path, make_record: MakeRecord) -> None:
    path = tmp_path / "made" / "parts.jsonl"
    output = json_lines(path)
    output.open()
    output.send(make_record(1))
    assert ids(path) == ["test-000001"]
    output.close()
    output.close()


def test_appends(tmp_path: Path, make_record: MakeRecord) -> None:
    send(tmp_path / "parts.jsonl", make_record(1))
    send(tmp_path / "parts.jsonl", make_record(2))
    assert ids(tmp_path / "parts.jsonl") == ["test-000001", "test-000002"]


@pytest.mark.parametrize("torn", [b'{"trigger_id": "te', b"\0" * 300_000, b"12", b"\xff"])
def test_a_torn_last_line_is_cut_off(
    tmp_path: Path, make_record: MakeRecord, torn: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "parts.jsonl"
    send(path, make_record(1))
    with path.open("ab") as stream:
        stream.write(torn)
    send(path, make_record(2))
    assert ids(path) == ["test-000001", "test-000002"]
    assert "cut off a half-written last line" in caplog.text


def test_a_file_that_is_one_torn_line_is_emptied(tmp_path: Path, make_record: MakeRecord) -> None:
    (tmp_path / "parts.jsonl").write_bytes(b'{"trig')
    send(tmp_path / "parts.jsonl", make_record(2))
    assert ids(tmp_path / "parts.jsonl") == ["test-000002"]


def test_a_whole_last_line_only_lacks_its_end(tmp_path: Path, make_record: MakeRecord) -> None:
    path = tmp_path / "parts.jsonl"
    send(path, make_record(1))
    path.write_bytes(path.read_bytes().rstrip())
    send(path, make_record(2))
    assert ids(path) == ["test-000001", "test-000002"]


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    first = json_lines(tmp_path / "parts.jsonl")
    first.open()
    with pytest.raises(LineError, match="another process writes to it"):
        json_lines(tmp_path / "parts.jsonl").open()
    first.close()


def test_what_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LineError, match=r"parts\.jsonl: cannot be opened"):
        json_lines(tmp_path / "file" / "parts.jsonl").open()


def test_send_without_open_is_refused(tmp_path: Path, make_record: MakeRecord) -> None:
    with pytest.raises(LineError, match="is not open"):
        json_lines(tmp_path / "parts.jsonl").send(make_record(1))


@pytest.fixture
def file_size_limit() -> Iterator[Callable[[int], None]]:
    """Makes writes beyond a size fail half-way, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_leaves_no_half_line(
    tmp_path: Path, make_record: MakeRecord, file_size_limit: Callable[[int], None]
) -> None:
    path = tmp_path / "parts.jsonl"
    output = json_lines(path)
    output.open()
    output.send(make_record(1))
    file_size_limit(path.stat().st_size + 10)
    with pytest.raises(LineError, match="cannot be written"):
        output.send(make_record(2))
    file_size_limit(1 << 20)
    output.send(make_record(3))
    output.close()
    assert ids(path) == ["test-000001", "test-000003"]


@pytest.fixture
def output(tmp_path: Path) -> Iterator[JsonLines]:
    """Returns an open output to `parts.jsonl` in a folder of its own."""
    output = json_lines(tmp_path / "lines" / "parts.jsonl")
    output.open()
    yield output
    output.close()


def test_a_renamed_file_is_left_and_a_new_one_begun(
    tmp_path: Path, make_record: MakeRecord, output: JsonLines
) -> None:
    path = tmp_path / "lines" / "parts.jsonl"
    output.send(make_record(1))
    path.rename(tmp_path / "old.jsonl")
    output.send(make_record(2))
    output.send(make_record(3))
    assert ids(tmp_path / "old.jsonl") == ["test-000001"]
    assert ids(path) == ["test-000002", "test-000003"]


def test_a_removed_or_replaced_file_is_left(
    tmp_path: Path, make_record: MakeRecord, output: JsonLines
) -> None:
    path = tmp_path / "lines" / "parts.jsonl"
    path.unlink()
    output.send(make_record(1))
    assert ids(path) == ["test-000001"]
    (tmp_path / "other.jsonl").write_text('{"trigger_id": "other"}\n')
    (tmp_path / "other.jsonl").replace(path)
    output.send(make_record(2))
    assert ids(path) == ["other", "test-000002"]


def test_a_copied_and_emptied_file_goes_on_from_its_beginning(
    tmp_path: Path, make_record: MakeRecord, output: JsonLines
) -> None:
    path = tmp_path / "lines" / "parts.jsonl"
    output.send(make_record(1))
    os.truncate(path, 0)
    output.send(make_record(2))
    assert ids(path) == ["test-000002"]


def test_a_folder_that_is_gone_takes_no_verdict_until_it_is_back(
    tmp_path: Path, make_record: MakeRecord, output: JsonLines
) -> None:
    folder = tmp_path / "lines"
    folder.rename(tmp_path / "gone")
    for _ in range(2):
        with pytest.raises(LineError, match=r"parts\.jsonl: cannot be opened \(No such file"):
            output.send(make_record(1))
    with pytest.raises(LineError, match="No such file"):
        output.open()  # as the link to the output does after an error
    assert not folder.exists()
    folder.mkdir()
    output.open()
    output.send(make_record(2))
    assert ids(folder / "parts.jsonl") == ["test-000002"]


def test_the_heartbeat_lets_go_of_a_file_that_is_gone(tmp_path: Path, output: JsonLines) -> None:
    path = tmp_path / "lines" / "parts.jsonl"
    path.unlink()
    output.show(StationState.READY)
    assert path.exists()


def test_a_reopened_file_has_another_descriptor(
    tmp_path: Path, make_record: MakeRecord, output: JsonLines
) -> None:
    path = tmp_path / "lines" / "parts.jsonl"
    with pytest.raises(LineError, match="another process writes to it"):
        json_lines(path).open()
    output.reopen()
    output.send(make_record(1))
    assert ids(path) == ["test-000001"]
    with pytest.raises(LineError, match="another process writes to it"):
        json_lines(path).open()


def test_standard_output_is_not_reopened(
    make_record: MakeRecord, capfd: pytest.CaptureFixture[str]
) -> None:
    output = json_lines("-")
    output.open()
    output.reopen()
    output.send(make_record(1))
    assert json.loads(capfd.readouterr().out)["trigger_id"] == "test-000001"


def test_standard_output(make_record: MakeRecord, capfd: pytest.CaptureFixture[str]) -> None:
    output = json_lines("-")
    output.open()
    output.send(make_record(1))
    output.close()
    assert json.loads(capfd.readouterr().out)["trigger_id"] == "test-000001"
    os.fstat(1)  # still open


def test_a_closed_pipe_is_a_line_error(make_record: MakeRecord) -> None:
    reader, writer = os.pipe()
    saved = os.dup(1)
    os.dup2(writer, 1)
    os.close(reader)
    try:
        output = json_lines("-")
        output.open()
        with pytest.raises(LineError, match="Broken pipe"):
            output.send(make_record(1))
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(writer)
