"""Survey of all files before the training: format, duplicates, hold-out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inspection.errors import CameraError, FrameError, listed
from inspection.images import (
    Window,
    decode_frame,
    decode_stored,
    read_content,
    read_frame,
    sha256_of_pixels,
)
from inspection.names import printable
from training.data.data_set import Sample
from training.hold_out import held_out

Range = tuple[int, int]

MINIMUM_GOOD_IMAGES = 5


@dataclass(frozen=True)
class SurveyedSample:
    """A sample with the SHA-256 of its file and the shape of its frame.

    Attributes:
        window: conversion of a 16-bit image, as `read_frame` takes it.
        picture: SHA-256 of the pixels.
    """

    sample: Sample
    sha256: str
    size: tuple[int, int]
    channels: int
    window: Window | None = None
    picture: str = ""

    def read(self) -> npt.NDArray[np.uint8]:
        """Reads the frame, (H, W) grey or (H, W, 3) BGR."""
        return read_frame(self.sample.path, self.window)


@dataclass(frozen=True)
class Split:
    """Good images for training, and good images held out for calibration.

    Attributes:
        duplicates: files left out because another file has the same content: the same picture on
            both sides would make the calibration too optimistic.
    """

    fit: tuple[SurveyedSample, ...]
    held_out: tuple[SurveyedSample, ...]
    duplicates: tuple[Path, ...]


def survey(samples: Iterable[Sample], window: Window | None = None) -> list[SurveyedSample]:
    """Reads every file once and checks that all are images of one kind.

    Args:
        window: conversion of 16-bit images; None takes 8-bit images only.

    Raises:
        CameraError: files cannot be read (the message names all of them), or there are both grey
            and colour images.
    """
    surveyed: list[SurveyedSample] = []
    problems: list[str] = []
    for sample in samples:
        try:
            surveyed.append(_read_sample(sample, window))
        except FrameError as error:
            problems.append(str(error))
    if problems:
        raise CameraError(listed(f"{len(problems)} unusable images:", problems))
    _refuse_mixed_channels(surveyed)
    return surveyed


def survey_again(files: Sequence[tuple[Path, str]], window: Window | None) -> list[SurveyedSample]:
    """Surveys images of an earlier training, given with the SHA-256 that they had then.

    Raises:
        CameraError: a file is gone or has another content.
    """
    samples = survey([Sample(path) for path, _ in files], window)
    changed = [
        str(path)
        for sample, (path, sha256) in zip(samples, files, strict=True)
        if sample.sha256 != sha256
    ]
    if changed:
        raise CameraError(
            listed(f"{len(changed)} images have changed since the training:", changed)
        )
    return samples


def split_good(
    samples: Sequence[SurveyedSample],
    *,
    hold_out: float,
    seed: int,
    part_of: Callable[[Path], str] | None = None,
) -> Split:
    """Divides good images into those for training and those held out for calibration.

    The division depends only on file contents and seed, and on the names of parts, not on order.

    Args:
        samples: the good images.
        hold_out: share of the parts to hold out; each side gets at least one. 0 holds none out.
        seed: another seed gives another division.
        part_of: names the part that an image shows; None when every image is another part.

    Raises:
        CameraError: there are fewer than MINIMUM_GOOD_IMAGES different parts to hold some out of.
        ConfigError: `part_of` does not match the name of an image.
    """
    unique: dict[str, SurveyedSample] = {}
    duplicates = []
    for sample in samples:
        if sample.sha256 in unique:
            duplicates.append(sample.sample.path)
        unique.setdefault(sample.sha256, sample)
    parts = {
        sha256: part_of(sample.sample.path) if part_of is not None else sha256
        for sha256, sample in unique.items()
    }
    count = len(set(parts.values()))
    if hold_out > 0 and count < MINIMUM_GOOD_IMAGES:
        what = "good images" if part_of is None else f"parts in {len(unique)} good images"
        raise CameraError(
            f"{count} different {what}; at least {MINIMUM_GOOD_IMAGES} are needed, and "
            "100 or more make a reliable model"
        )
    fit, held_out = divide(parts, hold_out=hold_out, seed=seed)
    return Split(
        tuple(unique[sha256] for sha256 in fit),
        tuple(unique[sha256] for sha256 in held_out),
        tuple(duplicates),
    )


def divide(
    parts: Mapping[str, str], *, hold_out: float, seed: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Divides different images, by their hashes, into those to fit and those to hold out.

    A share of 0 holds none out; any other at least one part, and not all.

    Args:
        parts: part of each image, by its hash; the images of a part stay together.
    """
    images: dict[str, list[str]] = {}
    for sha256 in sorted(parts):
        images.setdefault(parts[sha256], []).append(sha256)
    order = sorted(images.values(), key=lambda of_part: _draw_key(of_part[0], seed))
    count = held_out(len(order), hold_out)
    return tuple(chain.from_iterable(order[count:])), tuple(chain.from_iterable(order[:count]))


def data_sha256(hashes: Iterable[str]) -> str:
    """Returns one hash over the hashes of all images, independent of names and order."""
    return hashlib.sha256("".join(sorted(hashes)).encode()).hexdigest()


def survey_stored(sample: Sample) -> SurveyedSample:
    """Reads a file of 8 or 16 bits as it is, to count it; it cannot be learnt so.

    Raises:
        FrameError: the file cannot be read.
    """
    content = read_content(sample.path)
    return _surveyed(sample, content, decode_stored(content, printable(sample.path)), None)


def _read_sample(sample: Sample, window: Window | None) -> SurveyedSample:
    content = read_content(sample.path)
    image = decode_frame(content, printable(sample.path), window)
    return _surveyed(sample, content, image, window)


def _surveyed(
    sample: Sample, content: bytes, image: npt.NDArray[np.integer[Any]], window: Window | None
) -> SurveyedSample:
    channels = 1 if image.ndim == 2 else image.shape[2]
    size = (image.shape[0], image.shape[1])
    sha256 = hashlib.sha256(content).hexdigest()
    return SurveyedSample(sample, sha256, size, channels, window, sha256_of_pixels(image))


def frame_ranges(
    samples: Sequence[SurveyedSample], heights: Range | None, widths: Range | None
) -> tuple[Range, Range]:
    """Returns the allowed heights and widths of frames: as configured, or the size of all images.

    Raises:
        CameraError: images of several sizes and no range, or images outside the range.
    """
    sizes = Counter(sample.size for sample in samples)
    found = [(min(values), max(values)) for values in zip(*sizes, strict=True)]
    if heights is None and widths is None and len(sizes) > 1:
        counts = [f"{height}x{width}: {n} images" for (height, width), n in sizes.most_common()]
        raise CameraError(
            listed("images of several sizes (height x width):", counts)
            + "\na line has one camera and one size; to train with several all the same, set "
            f"data.frame_height=[{found[0][0]},{found[0][1]}] and "
            f"data.frame_width=[{found[1][0]},{found[1][1]}]"
        )
    ranges = (heights or found[0], widths or found[1])
    outside = [
        f"{sample.sample.path}: {sample.size[0]}x{sample.size[1]}"
        for sample in samples
        if not all(low <= n <= high for n, (low, high) in zip(sample.size, ranges, strict=True))
    ]
    if outside:
        raise CameraError(listed(f"{len(outside)} images outside the configured size:", outside))
    return ranges


def _refuse_mixed_channels(samples: Sequence[SurveyedSample]) -> None:
    for channels, name in ((1, "grey"), (3, "colour")):
        odd = [s for s in samples if s.channels == channels]
        if 0 < len(odd) <= len(samples) // 2:
            paths = [str(s.sample.path) for s in odd]
            raise CameraError(listed(f"{len(odd)} of {len(samples)} images are {name}:", paths))


def _draw_key(sha256: str, seed: int) -> str:
    return hashlib.sha256(f"{seed} {sha256}".encode()).hexdigest()
