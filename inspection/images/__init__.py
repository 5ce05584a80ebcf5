"""Image files: finding, decoding without silent conversions, and encoding them."""

from inspection.images.encoding import encode_jpeg, encode_png
from inspection.images.folder import (
    IMAGE_SUFFIXES,
    Tell,
    content_of,
    list_images,
    refuse_nearly_good,
)
from inspection.images.reading import decode_image, is_lossy, read_content, read_image

__all__ = [
    "IMAGE_SUFFIXES",
    "Tell",
    "content_of",
    "decode_image",
    "encode_jpeg",
    "encode_png",
    "is_lossy",
    "list_images",
    "read_content",
    "read_image",
    "refuse_nearly_good",
]
