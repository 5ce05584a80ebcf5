"""The sections of a page that a measurement leaves as they are when it writes the page anew."""

from __future__ import annotations

import sys
from pathlib import Path

from inspection.files import write_text

REMARKS = "## What was run"


def write_page(path: Path, text: str) -> None:
    """Writes a page, and keeps the section `REMARKS`, by hand at the end of the old one.

    Only a person knows what a run left out, and whether the remarks hold for the new figures.
    """
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    _, title, remarks = old.partition(f"\n{REMARKS}\n")
    if title:
        text = f"{text.rstrip()}\n{title}{remarks}"
        sys.stderr.write(f"{path}: read '{REMARKS}' again: it is of the run before\n")
    write_text(path, text)


def with_section(text: str, title: str, body: str) -> str:
    """Returns a document with a section in the place of the old one, or at its end.

    Args:
        title: first line of the section, "## ...".
        body: the section with its title.
    """
    before, _, after = text.partition(f"{title}\n")
    _, next_title, rest = after.partition("\n## ")
    whole = f"{before.rstrip()}\n\n{body.strip()}\n"
    return f"{whole}{next_title}{rest}" if rest else whole
