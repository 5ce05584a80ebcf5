"""The masks of one tree in MVTec's layout, and the images that they belong to.

The mask of `<defect>/<stem>.<suffix>` is `ground_truth/<defect>/<stem>_mask.<suffix>`, or the same
name without `_mask`, or a folder `<stem>` of several masks, as in MVTec LOCO. Case does not matter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from inspection.errors import CameraError, listed, named
from inspection.images import Tell, content_of
from training.data.data_set import GOOD

FOLDER = "ground_truth"

_ENDING = "_mask"

_Key = tuple[str, str]  # defect and stem, without case


class GroundTruth:
    """The masks in a folder; remembers which ones belong to an image.

    Args:
        folder: may be missing.
        tell: takes a sentence for files that are not read.
    """

    def __init__(self, folder: Path, tell: Tell) -> None:
        self._masks: dict[_Key, list[Path]] = defaultdict(list)
        self._spare: list[Path] = []  # beside the folders of defects
        self._used: set[Path] = set()
        self._undrawn: dict[str, Path] = {}
        if folder.is_dir():
            for mask in self._find(folder, tell):
                self._masks[_key(mask.parent.name, _stem(mask))].append(mask)

    def mask_of(self, defect: str, image: Path) -> Path | None:
        """Returns the mask of an image; None for a good part, and without one.

        Of several, the one of the same case comes first, then the one with the ending.
        """
        if defect == GOOD:
            return None
        masks = self._masks.get(_key(defect, image.stem))
        if masks is None:
            self._undrawn.setdefault(defect, image)
            return None
        mask = max(masks, key=lambda mask: (_stem(mask) == image.stem, _has_ending(mask)))
        self._used.add(mask)
        return mask

    def finish(self, tell: Tell) -> None:
        """Tells the masks that belong to no image, after all images had their turn.

        Raises:
            CameraError: the masks of a defect fit none of its images.
        """
        for defect, image in self._undrawn.items():
            masks = [m for m in self._all() if m.parent.name.casefold() == defect.casefold()]
            if masks and self._used.isdisjoint(masks):
                raise CameraError(
                    listed(
                        f"{masks[0].parent}: none of its {len(masks)} masks has the name of an "
                        f"image; the mask of {image} must be {image.stem}{_ENDING}.png; found:",
                        [mask.name for mask in masks],
                    )
                )
        spare = [*self._spare, *(mask for mask in self._all() if mask not in self._used)]
        if spare:
            tell(f"{len(spare)} masks fit no defective image: {named(list(map(str, spare)))}")

    def _all(self) -> Iterator[Path]:
        return chain.from_iterable(self._masks.values())

    def _find(self, folder: Path, tell: Tell) -> Iterator[Path]:
        content = content_of(folder)
        for sentence in content.passed_over(_names(content.subfolders)):
            tell(sentence)
        self._spare += content.images
        for defect in content.subfolders:
            kind = content_of(defect)
            for sentence in kind.passed_over(_names(kind.subfolders)):
                tell(sentence)
            yield from kind.images
            yield from (folder for folder in kind.subfolders if content_of(folder).images)


def _names(folders: Iterable[Path]) -> list[str]:
    return [folder.name for folder in folders]


def _key(defect: str, stem: str) -> _Key:
    return defect.casefold(), stem.casefold()


def _has_ending(mask: Path) -> bool:
    return _name(mask).casefold().endswith(_ENDING)


def _stem(mask: Path) -> str:
    """Returns the stem of the image that a mask is for."""
    return _name(mask)[: -len(_ENDING)] if _has_ending(mask) else _name(mask)


def _name(mask: Path) -> str:
    return mask.name if mask.is_dir() else mask.stem
