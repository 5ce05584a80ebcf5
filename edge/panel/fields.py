"""Values in the fields of a query or a form."""

from __future__ import annotations

from starlette.datastructures import URL

from edge.panel.refusals import Refused

_DIGITS_MAX = 18  # of a number that SQLite takes


def number_of(text: str, name: str) -> int:
    """Returns the whole number, not below 0, in the text of a field.

    Args:
        name: of the field, for the refusal.

    Raises:
        Refused: it is no such number, or it is too large for a database.
    """
    if not text.isdecimal() or len(text) > _DIGITS_MAX:
        raise Refused(400, "problem.field", name=name)
    return int(text)


def path_and_query(url: URL) -> str:
    """Returns the address of a page without the panel's own: the choice of a page is in it."""
    return f"{url.path}?{url.query}" if url.query else url.path


def local_path(text: str) -> str:
    """Returns a path of the panel; "/" for an address that leads elsewhere."""
    is_local = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable()
    return text if is_local else "/"
