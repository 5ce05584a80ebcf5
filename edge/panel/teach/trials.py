"""Trials of a taught bundle: stills that somebody brings, judged by `linewarden inspect`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from edge.panel.jobs import LOG, Job
from edge.panel.refusals import Refused
from edge.panel.teach.parts import Taught, moment_of, name_now
from edge.panel.teach.sources import DECODING, Source, decoded
from inspection.files import new_directory
from inspection.images import encode_png

STILLS_MAX = 20

_KEPT = 5
_NAMES = "names.json"
_KINDS = {"overlay": "overlay.jpg", "mask": "mask.png"}


@dataclass(frozen=True)
class Trial:
    """A trial; `names` are those of the files that were brought."""

    name: str
    folder: Path
    names: tuple[str, ...]

    @property
    def moment(self) -> datetime:
        """The time when it was asked for."""
        return moment_of(self.name)

    @property
    def pictures(self) -> Path:
        """The folder with the outlines and masks."""
        return self.folder / "pictures"

    def words(self, taught: Taught) -> list[str]:
        """Returns the command line."""
        files = [str(self.folder / f"{place}.png") for place in range(len(self.names))]
        options = ["--bundle", str(taught.bundle), f"--recipe={taught.file.recipe}", "--json"]
        return ["inspect", *files, *options, "--save", str(self.pictures)]

    def picture(self, place: int, kind: str) -> str:
        """Returns the name of a picture below `pictures`.

        Raises:
            Refused: there is no such kind.
        """
        if kind not in _KINDS:
            raise Refused(404, "problem.image_gone")
        return f"{place + 1:04d}_{place}.{_KINDS[kind]}"

    def stills(self, job: Job | None) -> list[dict[str, Any]]:
        """Returns the verdict of each still that was judged, as `inspect --json` writes it."""
        if job is None or not (job.folder / LOG).exists():
            return []
        lines = (job.folder / LOG).read_text(errors="replace").splitlines()
        verdicts = [_verdict(line) for line in lines if line.startswith('{"image"')]
        found = {Path(one["image"]).stem: one for one in verdicts if one is not None}
        return [
            {"place": place, "name": name, **found[str(place)]}
            for place, name in enumerate(self.names)
            if str(place) in found
        ]

    def discard(self) -> None:
        """Removes the trial."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _verdict(line: str) -> dict[str, Any] | None:
    """Returns a line of the log; None for one that its job has not written to its end."""
    try:
        found: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return found


def trials_of(taught: Taught) -> list[Trial]:
    """Returns the trials of a bundle, the newest first."""
    files = sorted((taught.folder / "trials").glob(f"*/{_NAMES}"), reverse=True)
    return [Trial(f.parent.name, f.parent, tuple(json.loads(f.read_text()))) for f in files]


def begin_trial(taught: Taught, sources: Sequence[Source], min_free_bytes: int) -> Trial:
    """Writes the stills of a new trial; the oldest trials go.

    Raises:
        Refused: there are too many, one cannot be used, or the disk is nearly full.
        OSError: they cannot be written.
    """
    if len(sources) > STILLS_MAX:
        raise Refused(400, "problem.too_many_files", max=STILLS_MAX)
    if shutil.disk_usage(taught.folder).free < min_free_bytes:
        raise Refused(507, "problem.disk_reserved", free=min_free_bytes // 1_000_000)
    for old in trials_of(taught)[_KEPT - 1 :]:
        old.discard()
    name = name_now()
    trial = Trial(name, taught.folder / "trials" / name, tuple(one.name for one in sources))
    with new_directory(trial.folder) as folder:
        for place, source in enumerate(sources):
            with DECODING:
                content = encode_png(decoded(source.read(), source.name))
            (folder / f"{place}.png").write_bytes(content)
        (folder / _NAMES).write_text(json.dumps(trial.names))
    return trial
