"""`linewarden recipe` and `linewarden check` on a running line, as processes."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.station.control import ask
from inspection.bundle import Bundle
from inspection.errors import LineError
from tests.doubles.line_folder import (
    GENEROUS_S,
    ROOT,
    SOFTWARE_TRIGGER,
    add_tolerant_recipe,
    command,
    is_ready,
    linewarden,
    part,
    write_line,
    write_parts,
)
from tests.doubles.waiting import wait_for

RECIPES = """\
recipes: {1: {}, 2: {recipe: tolerant}, 3: {recipe: absent}}
start_recipe: 1
checks:
  parts: [{name: golden, expect: PASS}, {name: limit, expect: REJECT}]
  at_start: false
"""


@pytest.fixture
def config(tmp_path: Path, tiny_bundle: Bundle) -> Iterator[Path]:
    """Runs a line with grey parts, dark and bright in turn, and yields its configuration."""
    write_parts(tmp_path / "parts", part(90), part(200))
    add_tolerant_recipe(tiny_bundle)
    path = write_line(tmp_path, SOFTWARE_TRIGGER, RECIPES)
    with subprocess.Popen(
        command("run", "--config", path), cwd=ROOT, stderr=subprocess.DEVNULL
    ) as process:
        wait_for(lambda: is_ready(path), GENEROUS_S)
        yield path
        process.send_signal(signal.SIGTERM)
        assert process.wait(GENEROUS_S) == 128 + signal.SIGTERM


def test_a_changeover_by_command(config: Path) -> None:
    listed = linewarden("recipe", "--config", config)
    assert listed.returncode == 0
    assert [line[:7] for line in listed.stdout.splitlines()] == ["*     1", "      2", "      3"]

    changed = linewarden("recipe", "--config", config, "2")
    assert (changed.returncode, changed.stdout) == (0, "recipe 2 is in force\n")

    failed = linewarden("recipe", "--config", config, "3")
    assert failed.returncode == 7
    assert "recipe 3 was not loaded, recipe 2 runs on: " in failed.stderr
    assert "recipe 'absent' is not calibrated" in failed.stderr

    again = linewarden("recipe", "--config", config, "--again")
    assert (again.returncode, again.stdout) == (0, "recipe 2 is in force\n")

    unknown = linewarden("recipe", "--config", config, "9")
    assert "the line refuses: no recipe 9: known are 1, 2, 3" in unknown.stderr

    told = json.loads(linewarden("recipe", "--config", config, "--json").stdout)
    assert (told["active"], told["changed"], told["failed"]) == (2, 2, 1)
    with pytest.raises(LineError, match="'number': Input should be a valid integer"):
        ask(config.parent / "line.sock", "recipe", number="2")


@pytest.mark.parametrize(
    ("recipe", "code", "shown"),
    [
        (1, 0, "all reference parts are right"),
        (2, 7, "not passed: limit got PASS instead of REJECT: show golden"),
    ],
)
def test_a_check_by_command(config: Path, recipe: int, code: int, shown: str) -> None:
    socket = config.parent / "line.sock"
    if recipe != 1:
        assert linewarden("recipe", "--config", config, str(recipe)).returncode == 0
    with subprocess.Popen(
        command("check", "--config", config),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as check:
        assert check.stderr is not None
        assert check.stderr.readline() == "the check that was asked for is due: show golden\n"
        ask(socket, "trigger")
        assert check.stderr.readline() == "golden is right: show limit\n"
        ask(socket, "trigger")
        out, errors = check.communicate(timeout=GENEROUS_S)
    assert check.returncode == code
    assert shown in out + errors
    assert is_ready(config) is (code == 0)
