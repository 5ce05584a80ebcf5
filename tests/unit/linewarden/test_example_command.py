"""`linewarden example`: the configurations that come with the program."""

from pathlib import Path

import pytest

from linewarden.command_line import main

CONFIGS = Path(__file__).parents[3] / "configs"


def test_every_example_is_listed_with_its_purpose(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["example"]) == 0
    listed = dict(line.partition("  ")[::2] for line in capsys.readouterr().out.splitlines())
    files = {one.relative_to(CONFIGS).as_posix() for one in CONFIGS.rglob("*") if one.is_file()}
    assert listed.keys() == files
    assert listed["line/modbus.yaml"].strip().startswith("Verdicts to a PLC by Modbus TCP.")


@pytest.mark.parametrize("name", ["line/modbus.yaml", "line/modbus", "modbus.yaml", "modbus"])
def test_an_example_is_printed_as_it_is(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["example", name]) == 0
    assert capsys.readouterr().out == (CONFIGS / "line/modbus.yaml").read_text()


def test_an_example_is_written_to_a_new_file_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "press3.yaml"
    assert main(["example", "s7", "--out", str(out)]) == 0
    assert out.read_text() == (CONFIGS / "line/s7.yaml").read_text()
    assert main(["example", "modbus", "--out", str(out)]) == 3
    assert capsys.readouterr().err == f"linewarden: --out {out}: exists; give a new file\n"
    assert out.read_text() == (CONFIGS / "line/s7.yaml").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["modbsu"], "example 'modbsu': there is none; did you mean 'modbus'?"),
        (["zzz"], "example 'zzz': there is none; 'linewarden example' lists them"),
        (
            ["triton"],
            "example 'triton': is one of kubernetes/triton.yaml, line/triton.yaml; give its path",
        ),
        (["--out", "press3.yaml"], "--out: give the name of an example, too"),
    ],
)
def test_a_wrong_name_is_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["example", *words]) == 3
    assert capsys.readouterr().err == f"linewarden: {message}\n"
