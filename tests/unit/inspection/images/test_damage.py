"""Damaged image files: either the pixels are the original's, or the file is refused."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from contextlib import suppress

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from inspection.errors import FrameError
from inspection.images import decode_image, encode_png

Pixels = npt.NDArray[np.uint8]
Damage = Callable[[bytes, int, np.random.Generator], bytes]


def part(channels: int = 3) -> Pixels:
    """Draws a surface with grain, a flat background, and edges."""
    rng = np.random.default_rng(0)
    image = np.zeros((240, 320, channels), np.uint8)
    cv2.circle(image, (160, 120), 100, (90, 140, 180), -1)
    cv2.rectangle(image, (120, 90), (200, 150), (200, 60, 40), 3)
    grain = rng.normal(0, 6, image.shape) * (image > 0)
    image = np.clip(image + grain, 0, 255).astype(np.uint8)
    return image if channels == 3 else image[:, :, 0]


def encoded(suffix: str, image: Pixels, *settings: int) -> bytes:
    return cv2.imencode(suffix, image, settings)[1].tobytes()


def tiff(image: Pixels, compression: int) -> bytes:
    return encoded(".tiff", image, cv2.IMWRITE_TIFF_COMPRESSION, compression)


JPEGS = {
    "colour": encoded(".jpg", part(), cv2.IMWRITE_JPEG_QUALITY, 90),
    "grey": encoded(".jpg", part(1), cv2.IMWRITE_JPEG_QUALITY, 90),
    "progressive": encoded(".jpg", part(), cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "restarts": encoded(".jpg", part(), cv2.IMWRITE_JPEG_RST_INTERVAL, 4),
    "444": encoded(
        ".jpg", part(), cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    ),
}
LZW, DEFLATE, PACKBITS, UNCOMPRESSED = 5, 8, 32773, 1
TIFFS = {
    f"{name}-{channels}": tiff(part(channels), compression)
    for name, compression in {"lzw": LZW, "deflate": DEFLATE, "packbits": PACKBITS}.items()
    for channels in (1, 3)
}
WITH_CHECKSUM = {
    "png": encode_png(part()),
    "png-grey": encode_png(part(1)),
    "deflate-1": TIFFS["deflate-1"],
    "deflate-3": TIFFS["deflate-3"],
}


def overwrite(with_: bytes | None, size: int) -> Damage:
    """Returns a damage of one disk sector; None writes noise."""

    def damage(content: bytes, offset: int, rng: np.random.Generator) -> bytes:
        size_here = min(size, len(content) - offset)
        filling = rng.bytes(size_here) if with_ is None else with_ * size_here
        return content[:offset] + filling + content[offset + size_here :]

    return damage


def flip(content: bytes, offset: int, rng: np.random.Generator) -> bytes:
    wrong = content[offset] ^ int(rng.integers(1, 256))
    return content[:offset] + bytes([wrong]) + content[offset + 1 :]


SECTORS = {
    "empty": overwrite(b"\0", 512),
    "erased": overwrite(b"\xff", 512),
    "noise": overwrite(None, 512),
}


def undetected(content: bytes, damage: Damage, *, step: int) -> list[int]:
    """Returns the offsets at which damage changes pixels and is not refused."""
    original = decode_image(content, "whole")
    rng = np.random.default_rng(1)
    missed = []
    for offset in range(0, len(content), step):
        try:
            image = decode_image(damage(content, offset, rng), "damaged")
        except FrameError:
            continue
        if not np.array_equal(image, original):
            missed.append(offset)
    return missed


@pytest.mark.parametrize("damage", ["empty", "erased"])
@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_with_a_lost_sector(kind: str, damage: str) -> None:
    assert undetected(JPEGS[kind], SECTORS[damage], step=97) == []


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_with_noise_in_it_is_refused_nearly_always(kind: str) -> None:
    # The format has no checksum: noise may decode to as many blocks as were there.
    offsets = len(range(0, len(JPEGS[kind]), 97))
    assert len(undetected(JPEGS[kind], SECTORS["noise"], step=97)) <= 0.05 * offsets


@pytest.mark.parametrize("damage", SECTORS)
@pytest.mark.parametrize("kind", [*TIFFS, *WITH_CHECKSUM])
def test_a_lost_sector_of_a_compressed_file(kind: str, damage: str) -> None:
    content = {**TIFFS, **WITH_CHECKSUM}[kind]
    assert undetected(content, SECTORS[damage], step=311) == []


@pytest.mark.parametrize("kind", WITH_CHECKSUM)
def test_every_wrong_byte_is_found_where_there_is_a_checksum(kind: str) -> None:
    content = WITH_CHECKSUM[kind]
    assert undetected(content, flip, step=max(1, len(content) // 300)) == []


@pytest.mark.parametrize("kind", [*JPEGS, *TIFFS, *WITH_CHECKSUM])
def test_a_file_that_is_cut_off_at_any_place(kind: str) -> None:
    content = {**JPEGS, **TIFFS, **WITH_CHECKSUM}[kind]
    original = decode_image(content, "whole")
    for length in (*range(1, len(content), len(content) // 50), len(content) - 1):
        with pytest.raises(FrameError, match=r"^part: (the image is damaged|not an image)"):
            decode_image(content[:length], "part")
    assert np.array_equal(decode_image(content, "whole"), original)


def test_the_message_has_the_words_of_the_decoder() -> None:
    with pytest.raises(FrameError) as caught:
        decode_image(JPEGS["colour"][:5000], "part.jpg")
    assert str(caught.value) == (
        "part.jpg: the image is damaged or cut off (JPEG: Premature end of JPEG file); "
        "copy or capture it again"
    )


@pytest.mark.parametrize(
    "content",
    [*JPEGS.values(), *WITH_CHECKSUM.values(), *TIFFS.values()],
    ids=[*JPEGS, *WITH_CHECKSUM, *TIFFS],
)
@pytest.mark.parametrize("behind", [b"\0" * 5000, b"\xff" * 5000, b"SEFT vendor data" * 600])
def test_bytes_behind_the_end_of_a_whole_image_do_not_matter(content: bytes, behind: bytes) -> None:
    assert np.array_equal(decode_image(content + behind, "x"), decode_image(content, "x"))


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("settings", [{}, {"progressive": True}, {"optimize": True}])
@pytest.mark.parametrize("size", [(240, 320), (239, 317), (1, 1), (8, 500)])
def test_a_jpeg_has_the_pixels_that_opencv_gives(
    subsampling: int, settings: dict[str, bool], size: tuple[int, int]
) -> None:
    image = part()[: size[0], : size[1]]
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", subsampling=subsampling, **settings)
    expected = cv2.imdecode(np.frombuffer(file.getvalue(), np.uint8), cv2.IMREAD_UNCHANGED)
    assert expected is not None
    assert np.array_equal(decode_image(file.getvalue(), "x"), expected)


@pytest.mark.parametrize("value", [0, 255, 77])
@pytest.mark.parametrize("settings", [{}, {"progressive": True}, {"optimize": True}])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_flat_jpeg_is_not_taken_for_an_empty_one(
    value: int, settings: dict[str, bool], channels: int
) -> None:
    flat = np.full((2000, 3000, channels), value, np.uint8).squeeze()
    flat[0, 0] = 255 - value  # two kinds of blocks, so that the codes are short
    for quality in (30, 95):
        file = io.BytesIO()
        Image.fromarray(flat).save(file, "JPEG", quality=quality, **settings)
        assert decode_image(file.getvalue(), "x").shape == flat.shape


def test_a_cmyk_jpeg_is_refused() -> None:
    file = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 4), np.uint8), "CMYK").save(file, "JPEG")
    with pytest.raises(FrameError, match=r"^x: has the colours CMYK and must be grey or BGR"):
        decode_image(file.getvalue(), "x")


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_a_tiff_of_another_writer_is_taken(compression: str, big: bool) -> None:
    for image in (part(), part(1), np.zeros((500, 700), np.uint8)):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "TIFF", compression=compression, big_tiff=big)
        assert np.array_equal(
            decode_image(file.getvalue(), "x")[..., ::-1].ravel().sum(), image.sum()
        )


def test_a_second_page_of_a_tiff_is_not_dropped() -> None:
    file = io.BytesIO()
    pages = [Image.fromarray(part(1)), Image.fromarray(part(1)[::-1].copy())]
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    with pytest.raises(FrameError) as caught:
        decode_image(file.getvalue(), "stack.tif")
    assert str(caught.value) == (
        "stack.tif: holds 2 images and Linewarden would read the first alone: save each as its own "
        "file"
    )


def test_a_preview_in_a_tiff_is_no_second_image() -> None:
    file = io.BytesIO()
    preview = Image.fromarray(part(1)[::4, ::4].copy())
    preview.encoderinfo = {"tiffinfo": {254: 1}}
    Image.fromarray(part(1)).save(file, "TIFF", save_all=True, append_images=[preview])
    assert np.array_equal(decode_image(file.getvalue(), "x"), part(1))


@pytest.mark.parametrize("suffix", ["PNG", "WEBP"])
def test_an_animation_is_refused(suffix: str) -> None:
    file = io.BytesIO()
    frames = [Image.fromarray(part()), Image.fromarray(part()[::-1].copy())]
    frames[0].save(file, suffix, save_all=True, append_images=frames[1:])
    with pytest.raises(FrameError, match=r"^x: (holds 2 images|is an animation)"):
        decode_image(file.getvalue(), "x")


def test_a_webp_that_is_cut_off() -> None:
    content = encoded(".webp", part())
    assert decode_image(content, "x").shape == part().shape
    for length in (13, 100, len(content) - 1):
        with pytest.raises(FrameError, match="WebP: ends at byte"):
            decode_image(content[:length], "x")


def test_a_tiff_in_which_damage_cannot_be_found_is_refused() -> None:
    file = io.BytesIO()
    Image.fromarray(part()).save(file, "TIFF", compression="jpeg")
    with pytest.raises(FrameError, match=r"^x: is a TIFF of a kind in which damage"):
        decode_image(file.getvalue(), "x")


@pytest.mark.parametrize("kind", TIFFS)
def test_any_directory_of_a_tiff_ends_in_an_answer(kind: str) -> None:
    content = TIFFS[kind]
    (directory,) = struct.unpack_from("<I", content, 4)
    rng = np.random.default_rng(2)
    for offset in (*range(4, 8), *range(directory, min(directory + 200, len(content)))):
        for value in (0, 1, 127, 255, int(rng.integers(256))):
            changed = content[:offset] + bytes([value]) + content[offset + 1 :]
            with suppress(FrameError):  # any other exception fails the test
                decode_image(changed, "x")


def test_the_message_names_the_damaged_chunk_of_a_png() -> None:
    content = bytearray(WITH_CHECKSUM["png"])
    content[-40] ^= 1  # in the data, which begins with the header at byte 8
    with pytest.raises(FrameError, match=r"\(PNG: the checksum of the chunk at byte \d+ differs\)"):
        decode_image(bytes(content), "x")


def test_a_strip_without_its_checksum_is_refused() -> None:
    file = io.BytesIO()
    image = Image.fromarray(part(1)[:20])
    image.save(file, "TIFF", compression="tiff_adobe_deflate")
    content = file.getvalue()
    assert np.array_equal(decode_image(content, "x"), part(1)[:20])
    (directory,) = struct.unpack_from("<I", content, 4)
    tags = [struct.unpack_from("<H", content, directory + 2 + 12 * n)[0] for n in range(10)]
    length_at = directory + 2 + 12 * tags.index(279) + 8
    (length,) = struct.unpack_from("<I", content, length_at)
    cut = bytearray(content)
    struct.pack_into("<I", cut, length_at, length - 4)
    with pytest.raises(
        FrameError, match=r"strip 0 is damaged \(Deflate: ends without its checksum"
    ):
        decode_image(bytes(cut), "x")
