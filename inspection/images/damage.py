"""The reasons to refuse the bytes of an image file."""

from __future__ import annotations


class DamageError(ValueError):
    """The bytes are not those that an encoder wrote; the message says where."""


class UnsupportedError(ValueError):
    """The file is whole, and holds something that would be lost or changed in silence."""


def several_images(count: int) -> UnsupportedError:
    """Makes the error of a file that holds more than one image."""
    return UnsupportedError(
        f"holds {count} images and Linewarden would read the first alone: save each as its own file"
    )
