"""Finds the image files of a folder, and tells the files that it passes over."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from inspection.errors import CameraError, named
from inspection.names import printable

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

Tell = Callable[[str], object]  # takes one sentence

# Names that people give to the folder of good parts, without case and punctuation.
_NEARLY_GOOD = frozenset(
    {"good", "goods", "ok", "okay", "okparts", "goodparts", "normal", "pass", "passed", "nominal"}
    | {"io", "gut", "defectfree", "nodefect", "anomalyfree"}
)


@dataclass(frozen=True)
class FolderContent:
    """The entries of a folder, in name order.

    Attributes:
        images: image files directly in the folder.
        hidden: image files whose name begins with a dot.
        others: visible files without the suffix of an image.
        subfolders: visible folders.
    """

    folder: Path
    images: tuple[Path, ...]
    hidden: tuple[Path, ...]
    others: tuple[Path, ...]
    subfolders: tuple[Path, ...]

    def passed_over(
        self, known: Collection[str] = (), *, images: bool = False, others: bool = True
    ) -> list[str]:
        """Returns a sentence for each reason to pass over files.

        Args:
            known: subfolders that the caller reads.
            images: the caller reads no images directly in the folder.
            others: the caller expects files without the suffix of an image.
        """
        unknown = (path for path in self.subfolders if path.name not in known)
        below = {printable(path.name): count for path in unknown if (count := _count_images(path))}
        groups = (
            (len(self.images) * images, "images directly in it", _names(self.images)),
            (sum(below.values()), "images in subfolders", [f"{name}/" for name in below]),
            (
                len(self.others) * others,
                "files that are not images by their suffix",
                _names(self.others),
            ),
            (len(self.hidden), "hidden images", _names(self.hidden)),
        )
        return [
            f"{printable(self.folder)}: {count} {what} are not read: {named(names)}"
            for count, what, names in groups
            if count
        ]


def content_of(folder: Path) -> FolderContent:
    """Lists a folder.

    Raises:
        CameraError: the folder is missing.
    """
    if not folder.is_dir():
        what = "is a file: give the folder that it is in" if folder.exists() else "no such folder"
        raise CameraError(f"{printable(folder)}: {what}")
    entries = sorted(folder.iterdir())
    folders = [path for path in entries if path.is_dir() and not path.name.startswith(".")]
    files = [path for path in entries if not path.is_dir()]
    images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    return FolderContent(
        folder,
        tuple(path for path in images if not path.name.startswith(".")),
        tuple(path for path in images if path.name.startswith(".")),
        tuple(p for p in files if p not in set(images) and not p.name.startswith(".")),
        tuple(folders),
    )


def list_images(folder: Path, tell: Tell, *, known: Collection[str] = ()) -> list[Path]:
    """Lists the image files directly in `folder`, in name order, without hidden files.

    Args:
        tell: takes a sentence for each reason to pass over files, with their number and names.
        known: subfolders that the caller reads.

    Raises:
        CameraError: the folder is missing or holds no image.
    """
    content = content_of(folder)
    passed_over = content.passed_over(known)
    if not content.images:
        raise CameraError(
            f"{printable(folder)}: holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}); "
            + "; ".join(["Linewarden does not search its subfolders", *passed_over])
        )
    for sentence in passed_over:
        tell(sentence)
    return list(content.images)


def refuse_nearly_good(folders: Iterable[Path], good: str) -> None:
    """Refuses folders of defects whose name means good parts: `Good`, `OK`.

    Args:
        folders: folders that each hold a kind of parts.
        good: the one name that good parts have.

    Raises:
        CameraError: the message names all such folders.
    """
    near = [
        printable(folder)
        for folder in folders
        if folder.name != good and re.sub(r"[\W_\d]", "", folder.name.casefold()) in _NEARLY_GOOD
    ]
    if near:
        raise CameraError(
            f"{named(near)}: looks like good parts and would count as a defect; rename it to {good}"
        )


def _count_images(folder: Path) -> int:
    visible = (p for p in folder.rglob("*") if not p.relative_to(folder).as_posix().startswith("."))
    return sum(p.suffix.lower() in IMAGE_SUFFIXES and p.is_file() for p in visible)


def _names(paths: Iterable[Path]) -> list[str]:
    return [printable(path.name) for path in paths]
