"""Documents and configurations agree with the program."""

import argparse
import re
import runpy
import shlex
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

from edge.panel.config import PanelConfig
from edge.station.config import LineConfig
from inspection import errors
from inspection.config.claims import all_claims
from inspection.config.loading import load_config
from inspection.config.resources import Use, UsedPath
from inspection.errors import ConfigError
from inspection.images import read_image
from inspection.layout.layout_file import LayoutConfig, read_layout
from inspection.layout.preparer import FramePreparer
from inspection.preprocess import Crop, Preprocessing
from inspection.verdict import Cause
from linewarden.command_line import COMMANDS
from linewarden.exit_codes import EXIT_CODES
from linewarden.parser import Parser
from training.config import TrainConfig
from training.demo_parts import write_dataset

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands_in(text: str) -> list[str]:
    blocks = re.findall(r"```(?:sh|shell|bash)?\n(.*?)```", text, re.DOTALL)
    joined = "\n".join(blocks).replace("\\\n", " ")
    lines = (line.partition("#")[0].strip() for line in joined.splitlines())
    return [line for line in lines if line.startswith("linewarden ")]


MANUALS = [import_module(command.module).__doc__ or "" for command in COMMANDS.values()]
WRITTEN = sorted(
    {line for path in DOCUMENTS for line in commands_in(path.read_text())}
    | {
        line.strip()
        for manual in MANUALS
        for line in manual.replace("\\\n", " ").splitlines()
        if line.startswith("  linewarden ")
    }
)


@pytest.mark.parametrize("line", WRITTEN)
def test_written_commands_parse(line: str) -> None:
    words = shlex.split(line.partition(" | ")[0])
    module = import_module(COMMANDS[words[1]].module)
    parser = argparse.ArgumentParser(exit_on_error=False)
    module.add_arguments(parser)
    parser.parse_args(words[2:])


def test_commands_were_found() -> None:
    assert len(WRITTEN) > 12


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs/train").glob("*.yaml")), ids=lambda p: p.name
)
def test_training_configurations_load(path: Path) -> None:
    load_config(path, TrainConfig)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs/line").glob("*.yaml")), ids=lambda p: p.name
)
def test_line_configurations_load(path: Path) -> None:
    load_config(path, LineConfig)


def test_the_examples_of_lines_share_nothing_that_they_write() -> None:
    users: dict[Path, str] = {}
    for path in sorted((ROOT / "configs/line").glob("*.yaml")):
        for claim in all_claims(load_config(path, LineConfig)):
            used = claim.resource
            if isinstance(used, UsedPath) and used.use is not Use.SOURCE:
                assert users.setdefault(used.path.resolve(), path.name) == path.name


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs/line").glob("*.yaml")), ids=lambda p: p.name
)
def test_each_example_of_a_line_has_its_command(path: Path) -> None:
    command = f"# Without hardware: linewarden simulate line --config configs/line/{path.name}"
    assert command in path.read_text().splitlines()


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs/panel").glob("*.yaml")), ids=lambda p: p.name
)
def test_panel_configurations_load(path: Path) -> None:
    config = load_config(path, PanelConfig)
    assert all(line.exists() for line in config.lines.values())


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs/layout").glob("*.yaml")), ids=lambda p: p.name
)
def test_layouts_load(path: Path) -> None:
    load_config(path, LayoutConfig)


def test_the_example_of_a_layout_fits_the_parts_of_the_demonstration(tmp_path: Path) -> None:
    path = tmp_path / "configs/layout/flange.yaml"
    path.parent.mkdir(parents=True)
    path.write_bytes((ROOT / "configs/layout/flange.yaml").read_bytes())
    crop = Crop(top=20, left=100, height=440, width=440)  # that of the demonstration
    taught = Preprocessing(
        frame_height=(480, 480), frame_width=(640, 640), channels=3, height=64, width=64, crop=crop
    )
    with pytest.raises(ConfigError, match=r"000\.png: cannot be read .*linewarden camera grab"):
        read_layout(path, taught)
    write_dataset(tmp_path / "demo/flange", good=6, test_good=0, defective_per_kind=0, seed=7)
    preparer = FramePreparer(taught, read_layout(path, taught))
    for image in sorted((tmp_path / "demo/flange/train/good").iterdir()):
        assert preparer.prepare(read_image(image)).pose is not None


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (document.parent / target).exists(), target


def test_the_troubleshooting_page_quotes_messages_of_the_program() -> None:
    page = (ROOT / "docs/guides/troubleshooting.md").read_text()
    quoted = re.findall(r"^\| `([^`|]* [^`|]*)`", page, re.MULTILINE)
    assert quoted
    program = [path.read_text() for path in (ROOT / "inspection").rglob("*.py")]
    # A message may be cut into several literals over two lines.
    joined = re.sub(r'"\s*f?"', "", "".join(program))
    assert [message for message in quoted if message not in joined] == []


def test_the_troubleshooting_page_names_every_cause() -> None:
    page = (ROOT / "docs/guides/troubleshooting.md").read_text()
    assert [cause.value for cause in Cause if f"| `{cause.value}` |" not in page] == []


def test_make_targets_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    readme = (ROOT / "README.md").read_text()
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", readme, re.MULTILINE))
    assert named
    assert named <= targets


def test_the_reference_has_the_exit_codes_of_the_program() -> None:
    page = (ROOT / "docs/reference/exit-codes.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", page, re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == EXIT_CODES


def test_the_exit_codes_are_those_of_the_errors() -> None:
    family = [errors.LinewardenError]
    for one in family:
        family += one.__subclasses__()
    here = [one for one in family if one.__module__ == errors.__name__]
    assert {one.exit_code for one in here} == set(EXIT_CODES) & set(range(1, 10)) - {2}
    written = dict(re.findall(r"(\w+Error) [ .]*(\d+)", errors.__doc__ or ""))
    drawn = {one.__name__: str(one.exit_code) for one in family if one.__name__ in written}
    assert written == drawn
    assert {one.__name__ for one in here} <= written.keys()


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_names_an_exit_code_that_the_table_lacks(command: str) -> None:
    manual = import_module(COMMANDS[command].module).__doc__ or ""
    named = re.findall(r"exit codes?(?: is)? (\d+)|exits? with (\d+)", manual)
    assert {int(code) for pair in named for code in pair if code} <= set(EXIT_CODES)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_home_that_the_shell_did_not_replace_is_refused(command: str) -> None:
    """Every argument of type Path, in every action of a command."""
    parser = Parser(prog=command)
    import_module(COMMANDS[command].module).add_arguments(parser)
    for one in parsers_in(parser):
        for argument in (each for each in one._actions if each.type is Path):
            with pytest.raises(argparse.ArgumentError, match="write '/"):
                one._get_value(argument, "~/parts")


def parsers_in(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    below = [
        child
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for child in action.choices.values()
    ]
    return [parser, *(one for child in below for one in parsers_in(child))]


def test_the_version_is_the_installed_one() -> None:
    assert f'version = "{version("linewarden")}"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize(
    "study", sorted(path.stem for path in (ROOT / "studies").glob("*.py")), ids=str
)
def test_each_study_explains_itself(
    study: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [study, "--help"])
    with pytest.raises(SystemExit, match=r"^0$"):
        runpy.run_path(str(ROOT / f"studies/{study}.py"), run_name="__main__")
    shown = capsys.readouterr().out
    assert f"usage: python -m studies.{study}" in shown
    assert all(len(line) <= 100 for line in shown.splitlines())
