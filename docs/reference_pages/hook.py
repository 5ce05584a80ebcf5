"""Adds the generated pages to the site: a hook of MkDocs.

MkDocs puts the folder of a hook on the import path while it loads it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import command_pages
import configuration_pages
import notebook_page
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_ROOT = Path(__file__).parents[2]
_COPIED = ("configs", "systemd")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Appends the pages of the reference, the JSON Schemas, and the examples that pages link."""
    for name, text in _pages():
        files.append(File.generated(config, f"reference/{name}", content=text))
    for name, content in notebook_page.files(_ROOT / "docs/guides/notebook.ipynb"):
        files.append(File.generated(config, f"guides/{name}", content=content))
    for folder in _COPIED:
        for path in sorted(path for path in (_ROOT / folder).rglob("*") if path.is_file()):
            name = path.relative_to(_ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Leads links out of the folder docs to the copies in the site, and to the notebook's page."""
    for folder in _COPIED:
        markdown = markdown.replace(f"](../../{folder}/", f"](../{folder}/")
    return markdown.replace("notebook.ipynb)", "notebook.md)")


def _pages() -> Iterator[tuple[str, str]]:
    yield "commands.md", command_pages.page()
    for kind in configuration_pages.KINDS:
        yield f"{kind.name}.md", configuration_pages.page(kind)
        yield f"{kind.name}.schema.json", configuration_pages.schema(kind)
