"""Paths as people write them: `~` and `$NAME` are no folders, and only a shell knows their values.

A configuration means the same for every user: the home of the service is not that of the person who
wrote the file. So nothing is replaced, and the message says what to write.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_VARIABLE = re.compile(r"\$(\w+|\{[^}]*\})")


def plain_path(text: str) -> Path:
    """Returns the path in a text.

    Raises:
        ValueError: it begins with `~`, or names a variable, so that it would be a folder of that
            name; the message says what to write instead.
    """
    is_home = text.startswith("~")
    if not is_home and _VARIABLE.search(text) is None:
        return Path(text)
    meant = os.path.expandvars(Path(text).expanduser() if _has_home(text) else text)
    unknown = meant.startswith("~") or _VARIABLE.search(meant) is not None
    what = "'~' is" if is_home else "variables are"
    advice = "the whole path" if unknown else repr(meant)
    literal = f", or './{text}' for a file of that name" if is_home else ""
    raise ValueError(f"{what} not replaced in a path; write {advice}{literal}")


def typed_path(text: str) -> Path:
    """Returns a path that was typed in a shell, such as `--out=~/x`, which a shell leaves alone.

    The name of a file that exists may have `$` in it: shells give such names for a `*`.

    Raises:
        ValueError: as `plain_path`.
    """
    if not text.startswith("~") and os.path.lexists(text):
        return Path(text)
    return plain_path(text)


def _has_home(text: str) -> bool:
    return os.path.expanduser(text) != text  # noqa: PTH111 - pathlib raises for an unknown user
