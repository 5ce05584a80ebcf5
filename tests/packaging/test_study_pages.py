from pathlib import Path

import pytest

from studies.pages.sections import with_section, write_page


def test_a_document_without_the_section_gets_one() -> None:
    title, section = "## On a GPU", "## On a GPU\n\nx"
    assert with_section("# Speed\n", title, section) == f"# Speed\n\n{section}\n"
    between = "# Speed\n\n## On a GPU\n\nold\n\n## Records\n\ny\n"
    assert with_section(between, title, section) == f"# Speed\n\n{section}\n\n## Records\n\ny\n"


def test_a_page_that_is_written_anew_keeps_the_remarks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "page.md"
    write_page(path, "# Page\n\nold\n")
    assert path.read_text() == "# Page\n\nold\n"
    assert capsys.readouterr().err == ""
    remarks = "\n## What was run\n\nOne case.\n"
    path.write_text(path.read_text() + remarks)
    write_page(path, "# Page\n\nnew\n\n")
    assert path.read_text() == f"# Page\n\nnew\n{remarks}"
    message = "read '## What was run' again: it is of the run before"
    assert capsys.readouterr().err == f"{path}: {message}\n"
