"""Finds the image files of a folder."""

from __future__ import annotations

from pathlib import Path

from inspection.errors import CameraError

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


def list_images(folder: Path) -> list[Path]:
    """Lists the image files directly in `folder`, in name order, without hidden files.

    Raises:
        CameraError: the folder is missing or holds no image.
    """
    if not folder.is_dir():
        what = "is a file: give the folder that it is in" if folder.exists() else "no such folder"
        raise CameraError(f"{folder}: {what}")
    images = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    )
    if not images:
        raise CameraError(
            f"{folder}: holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}); "
            "Linewarden does not search its subfolders"
        )
    return images
