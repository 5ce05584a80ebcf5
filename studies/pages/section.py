"""A section of a page that a measurement replaces without touching the others."""

from __future__ import annotations


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
