"""Documents and configurations agree with the program."""

import argparse
import re
import shlex
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

from edge.station.config import LineConfig
from inspection.config.loading import load_config
from inspection.layout import LayoutConfig
from linewarden.command_line import COMMANDS
from training.config import TrainConfig

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


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs/layout").glob("*.yaml")), ids=lambda p: p.name
)
def test_layouts_load(path: Path) -> None:
    load_config(path, LayoutConfig)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (document.parent / target).exists(), target


def test_make_targets_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    readme = (ROOT / "README.md").read_text()
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", readme, re.MULTILINE))
    assert named
    assert named <= targets


def test_the_version_is_the_installed_one() -> None:
    assert f'version = "{version("linewarden")}"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize(
    "study", sorted(path.stem for path in (ROOT / "studies").glob("*.py")), ids=str
)
def test_each_study_explains_itself(study: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"studies.{study}", "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert f"usage: python -m studies.{study}" in done.stdout
    assert all(len(line) <= 100 for line in done.stdout.splitlines())
