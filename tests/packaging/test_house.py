"""The layout agrees with pyproject.toml and CONTRIBUTING.md: contracts, rooms, decisions."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.faulty import STAGES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
SETTINGS: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
IMPORT_RULES: dict[str, Any] = SETTINGS["importlinter"]
PACKAGES: list[str] = IMPORT_RULES["root_packages"]


def layers_of(contract: dict[str, Any]) -> set[str]:
    return {name for layer in contract.get("layers", ()) for name in layer.split(" | ")}


def test_each_folder_of_unit_tests_has_its_package() -> None:
    unit = ROOT / "tests/unit"
    folders = {path.parent.relative_to(unit) for path in unit.rglob("test_*.py")}
    assert folders
    assert [name for name in folders if not (ROOT / name / "__init__.py").exists()] == []


def test_faults_strike_functions_that_exist() -> None:
    assert [stage for stage, (owner, name) in STAGES.items() if not hasattr(owner, name)] == []


def test_contributing_lists_the_contracts() -> None:
    section = CONTRIBUTING.partition("## The contracts")[2].partition("\n## ")[0]
    listed = re.findall(r"^- \*\*(.+?)\*\*:", section, re.MULTILINE)
    assert listed == [contract["name"] for contract in IMPORT_RULES["contracts"]]


def test_every_package_is_in_the_layers_and_checks() -> None:
    found = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert found == set(PACKAGES)
    layered = [layers_of(one) for one in IMPORT_RULES["contracts"] if "containers" not in one]
    assert set().union(*layered) == found
    (acyclic,) = [one for one in IMPORT_RULES["contracts"] if one["type"] == "acyclic_siblings"]
    assert set(acyclic["ancestors"]) == found
    assert set(SETTINGS["hatch"]["build"]["targets"]["wheel"]["packages"]) == found
    assert found <= set(SETTINGS["mypy"]["files"])
    assert set(SETTINGS["coverage"]["run"]["source"]) == found


@pytest.mark.parametrize("package", ["edge", "inspection"])
def test_a_new_room_fails_until_it_has_a_layer(package: str, tmp_path: Path) -> None:
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    room = tmp_path / package / "attic"
    room.mkdir()
    (room / "__init__.py").write_text('"""A room that no contract knows."""\n')
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert f"{package}.attic" in done.stdout


def test_files_that_contributing_and_decisions_name_exist() -> None:
    documents = [ROOT / "CONTRIBUTING.md", *(ROOT / "docs/decisions").iterdir()]
    for document in documents:
        named = re.findall(r"`([a-z_]+/[\w/.-]+\.(?:py|toml|md))`", document.read_text())
        assert named
        assert [name for name in named if not (ROOT / name).exists()] == [], document


def test_tables_that_contributing_names_are_there() -> None:
    rows = re.findall(r"\| `([A-Z]\w+)` in `([\w/.]+)` \|", CONTRIBUTING)
    assert len(rows) >= 7
    for table, file in rows:
        assert re.search(rf"^{table}\b.* = ", (ROOT / file).read_text(), re.MULTILINE), table


def test_every_decision_is_numbered_and_listed() -> None:
    files = sorted(path.name for path in (ROOT / "docs/decisions").iterdir())
    assert files == re.findall(r"\(docs/decisions/([^)]+)\)", CONTRIBUTING)
    for number, name in enumerate(files, start=1):
        text = (ROOT / "docs/decisions" / name).read_text()
        assert name.startswith(f"{number:04}-")
        assert text.startswith(f"# {number}. ")
        headings = re.findall("^## (.+)$", text, re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences", "Rejected"]


def test_the_layout_in_the_readme_is_that_of_the_checkout() -> None:
    section = (ROOT / "README.md").read_text().partition("## Layout")[2].partition("\n## ")[0]
    top = set(re.findall(r"^(\w+)/", section, re.MULTILINE))
    assert set(PACKAGES) <= top
    assert [name for name in top if not (ROOT / name).is_dir()] == []
    rooms = set(re.findall(r"(\w+)/", "".join(re.findall(r"^  (.+?)   ", section, re.MULTILINE))))
    assert rooms == {path.parent.name for path in (ROOT / "edge").glob("*/__init__.py")}
