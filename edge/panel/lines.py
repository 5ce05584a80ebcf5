"""The lines that the panel shows: their configuration, their records, their control socket."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from edge.panel.file_version import FileVersion, version_of
from edge.panel.troubles import Troubles
from edge.station.config import LineConfig
from edge.station.control import NoAnswerError, ask
from edge.store.config import RecordsConfig
from edge.store.reader import RecordReader
from edge.store.station_records import IMAGES_NAME
from inspection.config.loading import load_config
from inspection.errors import ConfigError, RecordsError


class PanelLine:
    """One line. Safe for threads; every method reads what is there now.

    Args:
        path: its configuration, which may change, or be wrong, while the panel runs.

    Attributes:
        troubles: those that pages have seen.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path
        self.troubles = Troubles()
        self._lock = threading.Lock()
        self._loaded: tuple[FileVersion | None, LineConfig] | None = None

    @property
    def config(self) -> LineConfig:
        """The configuration, read again after a change of the file.

        Raises:
            ConfigError: it cannot be read, or is wrong.
        """
        version = version_of(self.path)
        with self._lock:
            if version is None or self._loaded is None or self._loaded[0] != version:
                self._loaded = version, load_config(self.path, LineConfig)
            return self._loaded[1]

    def ask(self, command: str, *, within_s: float = 10.0, **arguments: object) -> dict[str, Any]:
        """Sends a command to the running line; see `edge.station.control`.

        Raises:
            ConfigError: the configuration is wrong, or the line takes no commands.
            NoAnswerError: the line does not run, or hangs.
            LineError: the line refuses.
        """
        socket = self.config.control_socket
        if socket is None:
            raise ConfigError(
                f"{self.path}: 'control_socket' is not set: the line takes no commands, and the "
                "panel cannot see whether it runs"
            )
        return ask(socket, command, within_s=within_s, **arguments)

    def reload(self, *numbers: int | None) -> None:
        """Has a running line load its recipe again; a line that does not run does it at its start.

        Args:
            numbers: only when one of these is in force, None for the only recipe of a line without
                numbers; without any, whichever is.

        Raises:
            ConfigError: the configuration is wrong.
            LineError: the line refuses, as while it loads a recipe.
        """
        if self.config.control_socket is None:
            return
        with contextlib.suppress(NoAnswerError):
            if not numbers or self.ask("recipe")["active"] in numbers:
                self.ask("recipe", again=True)

    @property
    def records(self) -> RecordsConfig:
        """The configuration of the records.

        Raises:
            ConfigError: the configuration is wrong.
            RecordsError: the line keeps none.
        """
        records = self.config.records
        if records is None:
            raise RecordsError(f"{self.path}: has no section 'records', so that it keeps none")
        return records

    @property
    def zone(self) -> ZoneInfo | None:
        """The time zone of the shifts; None for that of the device."""
        name = self.records.time_zone
        return None if name is None else ZoneInfo(name)

    @property
    def images(self) -> Path:
        """The folder that records name their images in."""
        return self.records.folder / IMAGES_NAME

    def reader(self) -> RecordReader:
        """Opens the records to read; close it.

        Raises:
            RecordsError: there are none, they have an old schema, or they cannot be read.
        """
        return RecordReader(self.records.folder)
