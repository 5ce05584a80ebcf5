"""Warnings of the commands."""

from __future__ import annotations

import sys


def warn(sentence: str) -> None:
    """Writes a warning to standard error."""
    sys.stderr.write(f"warning: {sentence}\n")
