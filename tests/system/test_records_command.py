"""`linewarden records` and `linewarden dataset from-records` on the records of a line."""

import csv
import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

from inspection.bundle import Bundle
from inspection.images import read_image
from linewarden.command_line import main
from tests.doubles import line_folder
from tests.doubles.line_folder import part, write_line, write_parts


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def linewarden(*words: str | Path) -> Done:
    """Runs the command in this process, which is faster."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main(list(map(str, words)))
        except SystemExit as stop:  # of argparse
            code = int(stop.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


def told(*words: str | Path) -> str:
    done = linewarden(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def line(tmp_path: Path, tiny_bundle: Bundle) -> Path:
    """Runs a line over three dark parts (pass) and two with a spot (reject)."""
    parts = [part(50 + number, spot=number > 2) for number in range(5)]
    write_parts(tmp_path / "parts", *parts)
    config = write_line(
        tmp_path,
        "camera: {kind: replay, path: parts}\n"
        "records:\n"
        "  folder: records\n"
        "  images: {keep: [PASS, REJECT], max_bytes: 1000000, min_free_bytes: 0}\n"
        "  shifts: {first: '00:00', second: '12:00'}\n"
        "  time_zone: UTC\n"
        "alarm: {in_a_row: 2}\n",
    )
    done = line_folder.linewarden("run", "--config", config)
    assert done.returncode == 0, done.stderr
    assert "linewarden: alarm: 2 parts in a row did not pass" in done.stderr
    return config


def test_a_line_is_listed_counted_and_labelled(line: Path) -> None:
    records = line.parent / "records"
    identities = [record["trigger_id"] for record in line_folder.told(line)]

    listed = told("records", "list", records, "--verdict", "REJECT").splitlines()
    assert [row.split()[2] for row in listed[1:]] == identities[3:]
    newest = told("records", "list", line, "--limit", "2").splitlines()
    assert [row.split()[2] for row in newest[1:]] == identities[3:]
    stored = [
        json.loads(text) for text in told("records", "list", line, "--format", "jsonl").splitlines()
    ]
    for record, sent in zip(stored, line_folder.told(line), strict=True):
        assert record.pop("label") is None
        answer = {"output": "jsonlines", "verdict": record["verdict"], "error": ""}
        assert (record.pop("told"), sent.pop("told")) == ([answer], [])
        # The output sent its own total: until it was told.
        assert record["latency_ms"].pop("total") <= sent["latency_ms"].pop("total")
        assert record == sent
    out = line.parent / "all.csv"
    assert told("records", "list", line, "--format", "csv", "--out", out) == f"written to {out}\n"
    with out.open(newline="") as stream:
        assert [row["trigger_id"] for row in csv.DictReader(stream)] == identities

    (counters,) = map(json.loads, told("records", "counters", line, "--json").splitlines())
    assert counters["verdicts"] == {"PASS": 3, "REVIEW": 0, "REJECT": 2, "NO_VERDICT": 0}
    assert counters["shift"] in ("first", "second")
    assert "default" in told("records", "counters", records).splitlines()[1]

    told("records", "label", line, identities[3], "good", "--note", "only dust")
    told("records", "label", line, identities[4], "spot", "--author", "A. Inspector")
    assert told("records", "list", line, "--labelled").count("REJECT") == 2
    assert told("records", "outbox", line) == "no verdict waits\n"
    dropped = told("records", "outbox", line, "--drop", "mqtt old")
    assert dropped == "mqtt old: 0 verdicts will not be sent; their records stay\n"


def test_a_data_set_is_made_of_records(line: Path) -> None:
    identities = [record["trigger_id"] for record in line_folder.told(line)]
    records, out = line.parent / "records", line.parent / "set"
    nothing = linewarden("dataset", "from-records", line, out, "--to", "mvtec")
    assert nothing.returncode == 9
    assert (
        "no labelled part among the 5 records that fit: label some with 'linewarden records label'"
    ) in nothing.stderr
    assert not out.exists()
    told("records", "label", line, identities[0], "good")
    for verdict, why in (
        ("REJECT", "no part labelled good among the 2 records that fit"),
        ("REVIEW", "no record fits the filter"),
    ):
        words = ("dataset", "from-records", line, out, "--to", "plain", "--verdict", verdict)
        assert why in linewarden(*words).stderr

    told("records", "label", line, identities[3], "good")
    told("records", "label", line, identities[4], "spot")
    (damaged,) = (records / "images").glob(f"*/*{identities[0]}*.frame.png")
    damaged.write_bytes(damaged.read_bytes()[:-20])
    (lost,) = (records / "images").glob(f"*/*{identities[1]}*.frame.png")
    lost.unlink()
    done = linewarden("dataset", "from-records", line, out, "--to", "mvtec", "--passes")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{out}: 2 good, 1 spot\n"
    assert "left out" in done.stderr
    assert "1 parts no longer have a frame" in done.stderr
    images = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))
    assert images == [
        f"test/spot/{identities[4]}.png",
        f"train/good/{identities[2]}.png",
        f"train/good/{identities[3]}.png",
    ]
    inspected = read_image(line.parent / "parts" / "4.png")
    assert (read_image(out / images[0]) == inspected).all()
    origin = [json.loads(text) for text in (out / "origin.jsonl").read_text().splitlines()]
    assert {entry["image"]: entry["label"] for entry in origin} == dict(
        zip(images, ("spot", "good", "good"), strict=True)
    )
    assert "layout mvtec" in told("dataset", "show", out)

    calibration = line.parent / "false-rejects"
    words = ("dataset", "from-records", line, calibration, "--to", "plain", "--verdict", "REJECT")
    assert told(*words) == f"{calibration}: 1 good\n"
    assert [path.name for path in calibration.glob("*.png")] == [f"{identities[3]}.png"]
    again = linewarden(*words)
    assert again.returncode == 9
    assert "exists already" in again.stderr


REFUSED: list[tuple[tuple[str, ...], int, str]] = [
    (("list", "nowhere"), 9, "no such folder of records or YAML file"),
    (("list", "empty"), 9, "holds no records.sqlite"),
    (("list", "other.yaml"), 3, "has no section 'records'"),
    (("list", "line.yaml", "--format", "parquet"), 3, "needs --out FILE"),
    (("list", "line.yaml", "--out", "nowhere/a.csv"), 9, "cannot be written"),
    (("list", "line.yaml", "--since", "yesterday"), 2, "'yesterday' is not a time"),
    (("list", "line.yaml", "--verdict", "BAD"), 2, "invalid"),
    (("list", "line.yaml", "--limit", "0"), 2, "should be 1 or more"),
    (("label", "line.yaml", "nobody", "good"), 9, "no record 'nobody'"),
    (("label", "line.yaml", "nobody", "../good"), 3, "label '../good'"),
]


def test_what_is_refused(line: Path) -> None:
    folder = line.parent
    (folder / "empty").mkdir()
    text = line.read_text()
    records = text[text.index("records:") : text.index("bundle:")]
    (folder / "other.yaml").write_text(text.replace(records, ""))
    named = {"nowhere", "empty", "other.yaml", "line.yaml", "nowhere/a.csv"}
    for words, exit_code, message in REFUSED:
        done = linewarden("records", *(folder / word if word in named else word for word in words))
        assert (done.returncode, done.stdout) == (exit_code, ""), words
        assert message in done.stderr
