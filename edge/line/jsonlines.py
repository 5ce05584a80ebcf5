"""Verdicts as JSON lines, to a file or to standard output."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal, TextIO

from edge.config import ConfigPath, StrictModel
from edge.errors import LineError
from edge.records import InspectionRecord

STDOUT = Path("-")


class JsonLinesConfig(StrictModel):
    """Where the lines go.

    Attributes:
        path: a file to append to, or `-` for standard output.
    """

    kind: Literal["jsonlines"] = "jsonlines"
    path: ConfigPath


class JsonLinesOutput:
    """Appends one line per verdict, complete or not at all; see `edge.line.base.LineOutput`."""

    def __init__(self, config: JsonLinesConfig) -> None:
        self._path = config.path
        self._stream: TextIO | None = None

    def open(self) -> None:
        """Open the file for appending; a line that a killed process left torn is cut off."""
        if self._path.name == STDOUT.name:
            self._stream = sys.stdout
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            _cut_torn_line(self._path)
            self._stream = self._path.open("a", encoding="utf-8")
        except OSError as error:
            raise LineError(f"{self._path}: cannot be written ({error.strerror})") from error

    def send(self, record: InspectionRecord) -> None:
        """Append one line and flush it."""
        if self._stream is None:
            raise LineError(f"{self._path}: is not open")
        try:
            self._stream.write(record.to_json() + "\n")
            self._stream.flush()
        except (OSError, ValueError) as error:
            raise LineError(f"{self._path}: the verdict was not written ({error})") from error

    def close(self) -> None:
        """Close the file."""
        stream, self._stream = self._stream, None
        if stream is not None and stream is not sys.stdout:
            stream.close()


def _cut_torn_line(path: Path) -> None:
    """End the file behind its last complete line."""
    if not path.exists():
        return
    with path.open("r+b") as stream:
        end = stream.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - 4096)
            stream.seek(start)
            newline = stream.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        stream.truncate(end)
