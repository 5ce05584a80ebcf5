"""The notebook of the guides as a page, with the output that it was saved with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nbconvert import MarkdownExporter


def files(path: Path) -> Iterator[tuple[str, str | bytes]]:
    """Yields the page and its pictures: their names beside the notebook, and their content."""
    text, resources = MarkdownExporter().from_filename(str(path))
    yield path.with_suffix(".md").name, text
    yield from resources["outputs"].items()
