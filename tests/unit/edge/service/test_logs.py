"""Log lines on a terminal and in the journal, and their repeats."""

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.service.logs import REPEAT_S, REPEATS, JsonFormatter, QuietHandler

ROOT = Path(__file__).parents[4]


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def log(stream: io.StringIO, clock: list[float]) -> Iterator[logging.Logger]:
    handler = QuietHandler(stream, lambda: clock[0])
    logger = logging.Logger("line")
    logger.addHandler(handler)
    yield logger
    handler.close()


def complain(log: logging.Logger, count: int) -> None:
    for number in range(count):
        log.warning("part %d: not delivered", number)


def test_repeats_are_counted(log: logging.Logger, stream: io.StringIO, clock: list[float]) -> None:
    complain(log, 100)
    assert len(stream.getvalue().splitlines()) == REPEATS
    log.warning("something else")
    clock[0] = REPEAT_S
    log.warning("yet something else")
    *_, other, summary, last = stream.getvalue().splitlines()
    assert (other, last) == ("something else", "yet something else")
    assert summary == "part 99: not delivered (and 95 more like it in 30 s)"


def test_after_its_time_a_repeat_is_written_again(
    log: logging.Logger, stream: io.StringIO, clock: list[float]
) -> None:
    complain(log, REPEATS)
    clock[0] = REPEAT_S
    complain(log, 1)
    lines = stream.getvalue().splitlines()
    assert len(lines) == REPEATS + 1
    assert not any("more like it" in line for line in lines)


def test_the_number_of_repeats_is_written_at_the_end(
    log: logging.Logger, stream: io.StringIO
) -> None:
    complain(log, REPEATS + 2)
    log.handlers[0].close()
    assert "and 2 more like it" in stream.getvalue()


def test_json_is_one_line_with_its_severity(stream: io.StringIO) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.Logger("edge.pipeline.delivery")
    logger.addHandler(handler)
    error = ValueError("of\ntwo lines")
    logger.error("the output %s is at 90 °C", "mqtt", exc_info=error)
    (line,) = stream.getvalue().splitlines()
    assert line.startswith("<3>")
    entry = json.loads(line[3:])
    assert entry["message"] == "the output mqtt is at 90 °C"
    assert "90 °C" in line  # as people read it in the journal
    assert (entry["level"], entry["logger"]) == ("error", "edge.pipeline.delivery")
    assert entry["traceback"].endswith("two lines")


@pytest.mark.parametrize("is_journal", [True, False])
def test_the_journal_gets_json_and_people_get_text(tmp_path: Path, is_journal: bool) -> None:
    code = (
        "import logging, threading; from edge.service import logs; logs.configure();"
        "logging.getLogger('pymodbus').error('the last bytes of a connection');"
        "logging.getLogger('a').warning('told');"
        "thread = threading.Thread(target=lambda: 1 / 0); thread.start(); thread.join()"
    )
    path = tmp_path / "stderr"
    with path.open("w") as stderr:
        found = os.fstat(stderr.fileno())
        journal = f"{found.st_dev}:{found.st_ino}" if is_journal else "8:1"
        subprocess.run(
            [sys.executable, "-c", code],
            stderr=stderr,
            check=True,
            cwd=ROOT,
            env={**os.environ, "JOURNAL_STREAM": journal},
        )
    lines = path.read_text().splitlines()
    if is_journal:
        told, uncaught = (json.loads(line[3:]) for line in lines)
        assert told["message"] == "told"
        assert uncaught["level"] == "critical"
        assert "ZeroDivisionError" in uncaught["traceback"]
    else:
        assert lines[0] == "linewarden: told"
        assert lines[-1].startswith("ZeroDivisionError")
