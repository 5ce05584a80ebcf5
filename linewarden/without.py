"""The option --without: a person leaves named images out."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from inspection.errors import ConfigError
from inspection.files import sha256_of
from inspection.names import printable


def add_without_argument(parser: argparse._ActionsContainer) -> None:
    """Declares the option."""
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="image to leave out, a path or the name of one of the images; may be repeated",
    )


def named_by_hash(given: Sequence[Path], images: Iterable[Path]) -> dict[str, str]:
    """Returns the names of the given images, by the SHA-256 of the file.

    Raises:
        ConfigError: a given file is not among the images, or its name has several of them.
    """
    found: dict[str, str] = {}
    images = list(images)
    for file in given:
        matching = [image for image in images if image.resolve() == file.resolve()]
        if not matching and file == Path(file.name):
            matching = [image for image in images if image.name == file.name]
        if len(matching) != 1:
            what = "several of" if matching else "not one of"
            raise ConfigError(f"--without {printable(file)}: {what} the {len(images)} good images")
        found[sha256_of(matching[0])] = printable(file.name)
    return found
