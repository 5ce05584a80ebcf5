"""`linewarden records` on a damaged database."""

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from edge.part.record import InspectionRecord
from edge.store.database import FILE_NAME, connect, transaction
from edge.store.rows import write_record
from linewarden.command_line import main
from tests.doubles.damage import overwrite

MakeRecord = Callable[..., InspectionRecord]


@pytest.fixture
def folder(tmp_path: Path, make_record: MakeRecord) -> Path:
    """Returns a folder whose database has a damaged head."""
    folder = tmp_path / "records"
    folder.mkdir()
    with closing(connect(folder, synchronous="FULL")) as connection, transaction(connection):
        for number in range(50):
            row = write_record(connection, make_record(number))
            connection.execute("INSERT INTO outbox (output, record) VALUES ('mqtt', ?)", (row,))
    overwrite(folder / FILE_NAME, [1])
    return folder


@pytest.mark.parametrize(
    "action",
    [["list"], ["counters"], ["outbox"], ["outbox", "--drop", "mqtt"], ["label", "t", "good"]],
)
def test_every_action_says_what_to_do(
    folder: Path, action: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["records", action[0], str(folder), *action[1:]]) == 9
    error = capsys.readouterr().err
    assert "is damaged (file is not a database); a line sets it aside" in error
    assert f"linewarden records recover {folder} --to NEW" in error


@pytest.mark.parametrize("name", ["", FILE_NAME, "aside"])
def test_what_can_be_read_is_saved(
    folder: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if name == "aside":
        shutil.move(folder / FILE_NAME, folder / "records.damaged-20261121T041401.5Z.sqlite")
        name = ""
    new = tmp_path / "new"
    assert main(["records", "recover", str(folder / name), "--to", str(new)]) == 0
    assert capsys.readouterr().out == (
        f"{new}: 50 records and 0 labels saved\n50 verdicts were perhaps not sent to mqtt\n"
    )
    assert main(["records", "list", str(new), "--format", "jsonl"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 50
