"""The layouts that people draw: a numbered file for each save, which stays.

They lie in the panel's folder, each beside the picture it was drawn on. Such a file is one of
`linewarden calibrate --layout`; its first line says who saved it, when and why.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml
from pydantic_core import from_json

from edge.panel.refusals import Refused
from inspection.config.loading import load_config
from inspection.errors import ConfigError
from inspection.files import new_file, write_bytes
from inspection.layout import Layout
from inspection.layout.layout_file import LayoutConfig, read_layout
from inspection.preprocess import Preprocessing

KEYS = ("zones", "ignore", "alignment")  # of the file that a person draws

_NAME = re.compile(r"\d{4,}\.yaml")
_HEAD = "# "


@dataclass(frozen=True)
class Saved:
    """What the first line of a layout's file says."""

    account: str
    saved_utc: str
    why: str


@dataclass(frozen=True)
class Version:
    """A saved layout."""

    number: int
    path: Path
    saved: Saved

    @property
    def trial(self) -> Path:
        """The file of its trial, which may not exist."""
        return self.path.with_suffix(".trial.json")

    def drawn(self) -> dict[str, Any]:
        """Returns its zones, ignored areas and alignment as JSON values.

        Raises:
            ConfigError: somebody damaged the file.
        """
        config = load_config(self.path, LayoutConfig)
        return config.model_dump(mode="json", include=set(KEYS))

    def reference(self) -> Path:
        """Returns the path of the picture it was drawn on; raises like `drawn`."""
        return load_config(self.path, LayoutConfig).reference


class Layouts:
    """The layouts of one recipe in a folder. Safe for threads of one process."""

    _lock = threading.Lock()

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def versions(self) -> list[Version]:
        """Returns all versions, the newest first."""
        found = [
            Version(int(path.stem), path, _saved(path))
            for path in self.folder.glob("*.yaml")
            if _NAME.fullmatch(path.name)
        ]
        return sorted(found, key=lambda version: version.number, reverse=True)

    def find(self, number: str) -> Version:
        """Returns a version by its number.

        Raises:
            Refused: there is none.
        """
        found = next((one for one in self.versions() if str(one.number) == number), None)
        if found is None:
            raise Refused(404, "zones.no_version", number=number)
        return found

    def check(self, drawn: str, reference: Path, preprocessing: Preprocessing) -> Layout:
        """Returns the layout that a drawing makes.

        Args:
            drawn: JSON with `KEYS`.
            reference: the picture under the drawing.
            preprocessing: of the bundle that will use it.

        Raises:
            Refused: the drawing is no JSON object of `KEYS`.
            ConfigError: the product refuses the layout.
        """
        content = _content(drawn, str(reference))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "layout.yaml"
            path.write_text(content, encoding="utf-8")
            return _read(path, path.name, preprocessing)

    def save(
        self,
        drawn: str,
        picture: bytes,
        preprocessing: Preprocessing,
        saved: tuple[str, str],
        newest: int,
    ) -> Version:
        """Saves a drawing as the next version; a refused one leaves nothing behind.

        Args:
            picture: content of the file under the drawing.
            saved: the account and the reason.
            newest: number of the version that was the newest for this person, 0 for none.

        Raises:
            Refused: somebody else has saved one since, or as for `check`.
            ConfigError: the product refuses the layout.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"reference-{hashlib.sha256(picture).hexdigest()[:16]}.frame.png"
        account, why = saved
        head = Saved(account, datetime.now(timezone.utc).isoformat(timespec="seconds"), why)
        content = f"{_HEAD}{json.dumps(asdict(head))}\n{_content(drawn, name)}"
        with self._lock:
            there = next(iter(self.versions()), None)
            number = there.number if there is not None else 0
            if number != newest:
                raise Refused(409, "zones.saved_since", number=number)
            if not (self.folder / name).exists():
                write_bytes(self.folder / name, picture)
            path = self.folder / f"{number + 1:04}.yaml"
            with new_file(path) as written:
                written.write_text(content, encoding="utf-8")
                _read(written, path.name, preprocessing)
        return Version(number + 1, path, head)


def _read(path: Path, name: str, preprocessing: Preprocessing) -> Layout:
    """Reads a layout; a message calls its file `name`."""
    try:
        return read_layout(path, preprocessing)
    except ConfigError as error:
        raise ConfigError(str(error).replace(str(path), name)) from error


def _content(drawn: str, reference: str) -> str:
    """Returns the file of a drawing; only the panel chooses the picture."""
    try:
        found = from_json(drawn, allow_inf_nan=False)
    except ValueError as error:
        raise Refused(400, "problem.field", name="layout") from error
    if not isinstance(found, Mapping) or not found.keys() <= set(KEYS):
        raise Refused(400, "problem.field", name="layout")
    values = {"reference": reference} | {key: found[key] for key in KEYS if found.get(key)}
    return yaml.safe_dump(values, sort_keys=False, default_flow_style=None, allow_unicode=True)


def _saved(path: Path) -> Saved:
    with suppress(OSError, ValueError, TypeError), path.open(encoding="utf-8") as stream:
        return Saved(**json.loads(stream.readline().removeprefix(_HEAD)))
    return Saved("", "", "")
