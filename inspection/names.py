r"""Names of files as text that can be printed and stored, whatever their bytes.

Linux names files by bytes, of which only "/" and NUL are reserved. Python decodes other bytes than
UTF-8 to lone surrogates (PEP 383), and neither JSON nor SQLite nor a terminal takes these; a name
with a newline looks like two. All records, pages and messages hold the form of `printable`::

    b"part 17.png"    part 17.png
    b"\xff\xfe.png"   \xff\xfe.png
    b"a\nb.png"       a\nb.png
    b"a\\b.png"       a\\b.png
"""

from __future__ import annotations

import codecs
import os
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import PlainSerializer, ValidatorFunctionWrapHandler, WrapValidator

ESCAPES = "linewarden.names"
"""Error handler of `str.encode` that writes lone surrogates as `printable` does."""

_SHORT = {"\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"}
_LONG = {text: character for character, text in _SHORT.items()}
_UNUSUAL, _PLAIN_LENGTH = re.compile(r"[^A-Za-z0-9._-]"), 100
_FIRST_BYTE, _LAST_BYTE = "\udc80", "\udcff"  # of a byte that is no UTF-8, see PEP 383
_ESCAPE = re.compile(r"\\(?:[\\nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")


def printable(name: str | Path) -> str:
    """Returns a name as text without newlines and control characters; `path_of` reverses it."""
    return "".join(map(_printed, os.fspath(name)))


def path_of(text: str) -> Path:
    """Returns the path that `printable` made a text of. Other backslashes stay as they are."""
    return Path(_ESCAPE.sub(_character, text))


def plain(text: str) -> str:
    """Returns a short name of plain characters for a new file; different texts may share it."""
    return _UNUSUAL.sub("_", text)[:_PLAIN_LENGTH]


def encodable(text: str) -> str:
    """Returns a text that may hold a raw name, for UTF-8; newlines in it stay."""
    return text.encode(errors=ESCAPES).decode()


def _printed(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    return character if character.isprintable() else _escaped(character)


def _escaped(character: str) -> str:
    code = ord(character)
    if _FIRST_BYTE <= character <= _LAST_BYTE:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _character(escape: re.Match[str]) -> str:
    text = escape[0]
    if text in _LONG:
        return _LONG[text]
    code = int(text[2:], 16)
    return chr(code + 0xDC00) if text[1] == "x" else chr(code)


def _escape_surrogates(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_escaped, error.object[error.start : error.end])), error.end


def _from_text(value: Any, path: ValidatorFunctionWrapHandler) -> Path:
    found: Path = path(value)
    return path_of(str(found)) if isinstance(value, str) else found


codecs.register_error(ESCAPES, _escape_surrogates)

StoredPath = Annotated[Path, WrapValidator(_from_text), PlainSerializer(printable, return_type=str)]
"""A path in a file of ours: any name of the file system comes back as it was."""
