"""Image files: finding, decoding without silent conversions, and encoding them."""

from inspection.images.encoding import encode_jpeg, encode_png
from inspection.images.folder import IMAGE_SUFFIXES, list_images
from inspection.images.reading import decode_image, is_lossy, read_image

__all__ = [
    "IMAGE_SUFFIXES",
    "decode_image",
    "encode_jpeg",
    "encode_png",
    "is_lossy",
    "list_images",
    "read_image",
]
