"""`linewarden simulate`: options that its machine would ignore."""

import pytest

from linewarden.command_line import main


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("plc", "--panel"), "--panel is for simulate line, not for plc: leave it out"),
        (("broker", "--set", "a=1"), "--set is for simulate line and plc, not for broker"),
        (("camera", "--parts", "3"), "--parts is for simulate line, not for camera"),
        (("line", "--port", "1502"), "--port is for simulate broker and camera and plc, not for"),
        (("plc", "--period-s", "1"), "--period-s is for simulate camera and line, not for plc"),
    ],
)
def test_an_option_that_a_machine_would_ignore_is_refused(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", *words]) == 3
    assert message in capsys.readouterr().err
