"""A panel beside a line whose control socket a test answers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.panel.services import Panel
from tests.doubles.line_folder import RECORDS, write_line
from tests.doubles.panel import TalkingLine, config_of, opened


@pytest.fixture
def line_file(tmp_path: Path) -> Path:
    """The configuration of a line with two numbered recipes; nothing of it runs."""
    recipes = "recipes: {1: {recipe: default}, 2: {recipe: tolerant}}\nstart_recipe: 1\n"
    checks = "checks: {parts: [{name: golden, expect: PASS}]}\n"
    camera = "camera: {kind: replay, path: parts}\ncontrol_socket: line.sock\n"
    return write_line(tmp_path, camera, recipes, checks, RECORDS)


@pytest.fixture
def panel(tmp_path: Path, line_file: Path) -> Iterator[Panel]:
    with opened(config_of(tmp_path, line_file)) as panel:
        yield panel


@pytest.fixture
def line(line_file: Path) -> Iterator[TalkingLine]:
    talking = TalkingLine()
    with talking.listening(line_file.parent / "line.sock"):
        yield talking


@pytest.fixture
def private_umask() -> Iterator[None]:
    """The mask of the unit of the panel: what it writes is for its own user."""
    before = os.umask(0o077)
    yield
    os.umask(before)
