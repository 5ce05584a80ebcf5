"""The inputs of a measured chain: its results count for the same configuration and data only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from inspection.config.loading import StrictModel
from inspection.errors import ConfigError
from inspection.files import sha256_of, write_text
from inspection.trust.sealed import Sha256
from training.config import TrainConfig
from training.data.data_set import DataSet
from training.data.layout import read_data_set
from training.data.masks import mask_sha256

INPUTS = "inputs.json"


class StudyInputs(StrictModel):
    """All that a row depends on, but for the version of Linewarden.

    Attributes:
        config: the training, without the place of the data and without the seed.
        data_sha256: over images, masks and labels of both splits.
    """

    config: dict[str, Any]
    data_sha256: Sha256

    def difference(self, other: StudyInputs) -> str:
        """Names the first difference; empty without any."""
        mine, others = _settings(self.config), _settings(other.config)
        for key in sorted({*mine, *others}):
            if mine.get(key) != others.get(key):
                return f"{key} {mine.get(key)}, not {others.get(key)}"
        return "" if self.data_sha256 == other.data_sha256 else "other images, masks or labels"


def inputs_of(config: TrainConfig) -> StudyInputs:
    """Returns the inputs of a chain; reads every file of the data set.

    Raises:
        CameraError: the data set is unusable.
    """
    data_set = read_data_set(config.data.folder)
    return StudyInputs(
        config=config.model_dump(mode="json", exclude={"data": {"folder"}, "fit": {"seed"}}),
        data_sha256=hashlib.sha256("".join(sorted(_lines(data_set))).encode()).hexdigest(),
    )


def claim(folder: Path, inputs: StudyInputs) -> None:
    """Keeps the inputs of the chain in `folder`, which may hold the results of the same inputs.

    Raises:
        ConfigError: the folder holds the results of other inputs, or of unknown ones.
    """
    if folder.is_dir() and any(folder.iterdir()):
        made_with = read_inputs(folder)
        difference = made_with.difference(inputs)
        if difference:
            raise _refusal(folder, f"was measured with other inputs: {difference}")
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / INPUTS, inputs.model_dump_json(indent=1) + "\n")


def read_inputs(folder: Path) -> StudyInputs:
    """Reads the inputs of the chain in `folder`.

    Raises:
        ConfigError: there are none, as in folders of earlier versions.
    """
    try:
        return StudyInputs.model_validate_json((folder / INPUTS).read_bytes())
    except (FileNotFoundError, ValidationError) as error:
        raise _refusal(folder, f"holds no readable {INPUTS}, which says what made it") from error


def refuse_different(folders: Sequence[Path]) -> None:
    """Raises ConfigError unless the chains in all folders, one for each seed, have one input."""
    for folder in folders[1:]:
        difference = read_inputs(folder).difference(read_inputs(folders[0]))
        if difference:
            raise _refusal(folder, f"has other inputs than {folders[0].name}: {difference}")


def _refusal(folder: Path, what: str) -> ConfigError:
    return ConfigError(
        f"{folder}: {what}; remove it to measure again, choose another --work, or give the "
        "configuration or the data another name"
    )


def _settings(values: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Returns the values of a nested configuration by their paths, `a.b`."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{path}{key}"
        found |= _settings(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return found


def _lines(data_set: DataSet) -> Iterator[str]:
    """Yields a line about each sample; the names of files do not count."""
    for split, samples in data_set.splits.items():
        for sample in samples:
            mask = mask_sha256(sample.mask) if sample.mask is not None else ""
            label = f"{data_set.category_of(sample)}/{sample.defect}"
            yield f"{split} {label} {sha256_of(sample.path)} {mask}\n"
