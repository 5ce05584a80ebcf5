"""The documentation as a site: it builds without a warning, and its reference is whole."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from edge.station.config import LineConfig
from linewarden.command_line import COMMANDS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return out


def test_every_page_is_in_the_navigation() -> None:
    written = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    configured = (ROOT / "mkdocs.yml").read_text()
    named = set(re.findall(r"([\w/.-]+\.md)$", configured, re.MULTILINE))
    assert written <= named


def test_every_command_has_its_manual(site: Path) -> None:
    page = (site / "reference/commands.html").read_text()
    assert [name for name in COMMANDS if f'id="{name}"' not in page] == []
    assert "usage: linewarden records label" in page


def test_every_key_of_a_line_has_its_row(site: Path) -> None:
    page = (site / "reference/line.html").read_text()
    assert [key for key in LineConfig.model_fields if f"<code>{key}</code>" not in page] == []
    assert "kind: modbus_server" in page


def test_the_schemas_are_beside_the_reference(site: Path) -> None:
    schema = json.loads((site / "reference/line.schema.json").read_text())
    example = yaml.safe_load((site / "configs/line/replay.yaml").read_text())
    assert set(example) <= set(schema["properties"])


def test_a_page_asks_no_network(site: Path) -> None:
    asked = re.compile(r'(?:<script[^>]*\ssrc|<link[^>]*\shref|<img[^>]*\ssrc)="?(https?:[^" >]+)')
    found = {
        (page.name, target)
        for page in site.rglob("*.html")
        for target in asked.findall(page.read_text())
    }
    assert found == set()
