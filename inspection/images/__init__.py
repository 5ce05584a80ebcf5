"""Image files: finding, decoding without silent conversions, and encoding them."""

from inspection.images.digest import sha256_of_pixels
from inspection.images.encoding import encode_jpeg, encode_png
from inspection.images.folder import (
    IMAGE_SUFFIXES,
    Tell,
    content_of,
    list_images,
    refuse_nearly_good,
)
from inspection.images.name_parts import NameExpression
from inspection.images.reading import (
    decode_frame,
    decode_image,
    decode_stored,
    is_lossy,
    read_content,
    read_frame,
    read_image,
    read_stored,
)
from inspection.images.window import Window

__all__ = [
    "IMAGE_SUFFIXES",
    "NameExpression",
    "Tell",
    "Window",
    "content_of",
    "decode_frame",
    "decode_image",
    "decode_stored",
    "encode_jpeg",
    "encode_png",
    "is_lossy",
    "list_images",
    "read_content",
    "read_frame",
    "read_image",
    "read_stored",
    "refuse_nearly_good",
    "sha256_of_pixels",
]
