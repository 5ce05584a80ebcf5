"""Exit codes, JSON and progress for the programs that call the commands."""

import io
import json
from pathlib import Path

import pytest

from linewarden.command_line import main
from linewarden.exit_codes import UNACCEPTABLE
from linewarden.training_run import told_in_a_log
from tests.doubles.line_folder import part, write_parts
from tests.doubles.waiting import wait_for
from tests.tiny_bundle import build


@pytest.fixture
def data(tmp_path: Path) -> Path:
    build(tmp_path / "bundle")
    (tmp_path / "data").mkdir()
    write_parts(tmp_path / "data/good", *(part(40 + grey) for grey in range(4)))
    write_parts(tmp_path / "data/spot", *(part(60 + grey, spot=True) for grey in range(4)))
    return tmp_path / "data"


def acceptance(data: Path) -> int:
    words = [str(data.parent / "bundle"), str(data), "--out", str(data.parent / "out")]
    return main(["acceptance", *words, "--json"])


def test_an_acceptable_study_ends_with_0(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert acceptance(data) == 0
    assert json.loads(capsys.readouterr().out)["agreement"]["miss_rate"] == 0


def test_an_unacceptable_study_has_its_exit_code(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_parts(data / "pale", *(part(90 + grey) for grey in range(4)))  # defects that pass
    assert acceptance(data) == UNACCEPTABLE
    assert (data.parent / "out/acceptance.html").exists()


def test_a_calibration_is_one_json_object(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = str(data / "good")
    words = ["calibrate", str(data.parent / "bundle"), "--good", good, "--json"]
    assert main([*words, "--false-reject-rate", "0.5", "--recipe", "seven"]) == 0
    assert json.loads(capsys.readouterr().out)["recipe"] == "seven"


@pytest.mark.parametrize("given", ["spot", "."])
def test_defects_may_be_a_folder_or_a_data_set(
    given: str, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if given == ".":
        (data / "test").mkdir()
        for name in ("good", "spot"):
            (data / name).rename(data / "test" / name)
        write_parts(data / "train", part(30))
        (data / "train").rename(data / "parts")
        (data / "train").mkdir()
        (data / "parts").rename(data / "train/good")
    good = write_parts(data.parent / "learn", *(part(20 + grey) for grey in range(8)))
    bundle = str(data.parent / "bundle")
    assert main(["calibrate", bundle, "--good", str(good), "--false-reject-rate", "0.4"]) == 0
    capsys.readouterr()
    words = ["calibrations", "sensitivity", bundle, "--defects", str(data / given)]
    assert main(words) == 0
    assert "of 4" in capsys.readouterr().out


def test_a_training_in_a_log_tells_its_state() -> None:
    log = io.StringIO()
    with told_in_a_log("train", 0.01, log) as tell:
        wait_for(lambda: log.getvalue().startswith("train: reading the images, 0 s\n"))
        tell("epoch 3 of 10, loss 0.120")
        wait_for(lambda: "train: epoch 3 of 10, loss 0.120, 0 s\n" in log.getvalue())
    written = log.getvalue()
    assert log.getvalue() == written


def test_a_terminal_has_its_bar_alone() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    with told_in_a_log("train", 0.001, terminal) as tell:
        tell("epoch 1 of 2")
    assert terminal.getvalue() == ""
