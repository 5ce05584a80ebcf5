"""Images by record, place and size: made once, and nothing outside of the archive."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge.panel.refusals import Refused
from edge.panel.services import Panel
from edge.panel.thumbnails import Thumbnails
from edge.part.record import InspectionRecord
from edge.store.config import RecordsConfig
from edge.store.station_records import StationRecords
from inspection.images import encode_png
from inspection.images.reading import decode_image
from tests.doubles.panel import Browser, raising

MakeRecord = Callable[..., InspectionRecord]


@pytest.fixture
def archive(tmp_path: Path, make_record: MakeRecord) -> Path:
    """A record "test-000001" with three images, of which the last is no longer there."""
    folder = tmp_path / "records/images/2026-11-21"
    folder.mkdir(parents=True)
    (folder / "a.frame.png").write_bytes(encode_png(np.full((400, 800), 120, np.uint8)))
    (folder / "a.mask.png").write_bytes(encode_png(np.full((400, 800), 255, np.uint8)))
    names = tuple(f"2026-11-21/a.{kind}" for kind in ("frame.png", "mask.png", "overlay.jpg"))
    station = StationRecords(RecordsConfig(folder=tmp_path / "records"), {})
    with station.open():
        station.on_record(make_record(1).model_copy(update={"images": names}))
    return tmp_path / "records/images"


def address(place: int, size: object) -> str:
    return f"/lines/line/parts/test-000001/images/{place}?size={size}"


def test_an_image_comes_at_a_size_and_is_made_once(panel: Panel, archive: Path) -> None:
    viewer = Browser(panel).log_in("viewer")
    answer = viewer.get(address(0, 160))
    assert answer.headers["content-type"] == "image/jpeg"
    assert "immutable" in answer.headers["cache-control"]
    assert decode_image(answer.content, "a").shape[:2] == (80, 160)
    (made,) = (panel.config.folder / "thumbnails").iterdir()
    before = made.stat().st_mtime_ns
    time.sleep(0.01)
    assert viewer.get(address(0, 160)).content == answer.content
    assert made.stat().st_mtime_ns == before
    assert viewer.get(address(1, 320)).headers["content-type"] == "image/png"


@pytest.mark.usefixtures("archive")
def test_a_full_disk_takes_no_picture_away(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    full = raising(OSError(errno.ENOSPC, "no space left on device"))
    monkeypatch.setattr("edge.panel.thumbnails.write_bytes", full)
    answer = Browser(panel).log_in("viewer").get(address(0, 160))
    assert decode_image(answer.content, "a").shape[:2] == (80, 160)


@pytest.mark.parametrize(
    ("place", "size", "status"),
    [(0, 161, 400), (0, "", 400), (0, "-160", 400), (2, 160, 404), (3, 160, 404)],
)
def test_other_sizes_and_places_are_refused(
    panel: Panel, archive: Path, place: int, size: object, status: int
) -> None:
    assert Browser(panel).log_in("viewer").get(address(place, size)).status_code == status


def test_no_name_leads_out_of_the_archive(tmp_path: Path) -> None:
    archive, secret = tmp_path / "images", tmp_path / "secret.frame.png"
    (archive / "day").mkdir(parents=True)
    secret.write_bytes(encode_png(np.zeros((8, 8), np.uint8)))
    (archive / "link.frame.png").symlink_to(secret)
    (archive / "folder").symlink_to(tmp_path)
    thumbnails = Thumbnails(tmp_path / "small", 1_000_000)
    for name in (
        "../secret.frame.png",
        "day/../../secret.frame.png",
        str(secret),
        "link.frame.png",
        "folder/secret.frame.png",
    ):
        with pytest.raises(Refused, match=r"problem\.image_gone"):
            thumbnails.picture(archive, name, 160)


def test_the_small_pictures_have_a_limit(tmp_path: Path) -> None:
    archive = tmp_path / "images"
    archive.mkdir()
    thumbnails = Thumbnails(tmp_path / "small", 4_000)
    noise = np.random.default_rng(1).integers(0, 255, (160, 160), np.uint8)
    for number in range(201):
        (archive / f"{number}.frame.png").write_bytes(encode_png(noise[: 8 + number % 8]))
        thumbnails.picture(archive, f"{number}.frame.png", 160)
    assert sum(path.stat().st_size for path in (tmp_path / "small").iterdir()) < 8_000


def test_a_damaged_image_is_gone(tmp_path: Path) -> None:
    (tmp_path / "a.frame.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    with pytest.raises(Refused, match=r"problem\.image_gone"):
        Thumbnails(tmp_path / "small", 1_000_000).picture(tmp_path, "a.frame.png", 160)
