"""Images of parts: which are kept, under which names, and which go first."""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.part.result import Settled
from edge.store.config import ImagesConfig
from edge.store.images import ImageArchive
from inspection.files import TEMPORARY_PREFIX, write_bytes
from inspection.images import read_image
from inspection.inspector import Inspection, no_verdict
from inspection.verdict import Cause, Thresholds, Verdict

MakeSettled = Callable[..., Settled]
STEM = "2026-11-21/041401.000000_test-000001_REJECT"
PLENTY = 10_000_000


DAY = datetime(2026, 11, 21, 5, tzinfo=timezone.utc)


def reject_archive(folder: Path, max_bytes: int = PLENTY, **rules: Any) -> ImageArchive:
    rules = {"keep": ("REJECT", "NO_VERDICT"), "min_free_bytes": 0, **rules}
    config = ImagesConfig.model_validate({"max_bytes": max_bytes, **rules})
    return ImageArchive(folder, config, lambda: DAY)


def scored(score: float, verdict: Verdict = Verdict.PASS) -> Inspection:
    empty = np.zeros((8, 8), dtype=np.float32)
    return Inspection(
        verdict=verdict,
        score=score,
        thresholds=Thresholds(2.5, 2.5),
        anomaly_map=empty,
        mask=empty > 0,
    )


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_frame_mask_and_overlay(tmp_path: Path, make_settled: MakeSettled) -> None:
    settled = make_settled(1)
    archive = reject_archive(tmp_path)
    archive.save(settled)
    assert files(tmp_path) == [f"{STEM}.frame.png", f"{STEM}.mask.png", f"{STEM}.overlay.jpg"]
    assert sorted(archive.names(settled)) == files(tmp_path)
    frame = settled.views[0].frame
    assert frame is not None
    assert (read_image(tmp_path / f"{STEM}.frame.png") == frame.image).all()
    mask = read_image(tmp_path / f"{STEM}.mask.png")
    assert mask.shape == (64, 64)
    assert set(np.unique(mask)) == {0, 255}
    assert cv2.imread(str(tmp_path / f"{STEM}.overlay.jpg")) is not None


def test_a_part_without_a_map_has_no_mask(tmp_path: Path, make_settled: MakeSettled) -> None:
    archive = reject_archive(tmp_path)
    archive.save(make_settled(1, no_verdict(Cause.DEADLINE, "late")))
    assert [name.partition(".")[2] for name in files(tmp_path)] == [
        "000000_test-000001_NO_VERDICT.frame.png",
        "000000_test-000001_NO_VERDICT.overlay.jpg",
    ]


def test_what_is_not_kept_has_no_names(tmp_path: Path, make_settled: MakeSettled) -> None:
    archive = reject_archive(tmp_path, keep=("REVIEW",))
    assert archive.names(make_settled(1)) == ()
    lost = make_settled(2, no_verdict(Cause.CAMERA, "lost"), with_frame=False)
    assert reject_archive(tmp_path).names(lost) == ()


def test_the_oldest_files_go_first(tmp_path: Path, make_settled: MakeSettled) -> None:
    reject_archive(tmp_path).save(make_settled(1))
    limit = size(tmp_path) * 5 // 2
    archive = reject_archive(tmp_path, limit)  # counts what an earlier run left
    for number in range(2, 8):
        archive.save(make_settled(number))
        assert size(tmp_path) <= limit
    kept = files(tmp_path)
    assert any("test-000007_REJECT.frame" in name for name in kept)
    assert any("test-000006_REJECT.frame" in name for name in kept)
    assert not any("test-000004" in name for name in kept)


def test_emptied_days_are_removed(tmp_path: Path, make_settled: MakeSettled) -> None:
    old = tmp_path / "2020-01-01"
    old.mkdir()
    image = old / "000000.000000_a_REJECT.frame.png"
    write_bytes(image, b"0" * 1000, changed=DAY - timedelta(days=1))
    for number in (1, 2):
        assert old.exists()
        reject_archive(tmp_path, 12_000, reject_max_age_days=36_500).save(make_settled(number))
    assert not old.exists()


def test_files_of_others_are_left_alone(tmp_path: Path, make_settled: MakeSettled) -> None:
    day = tmp_path / "2020-01-01"
    day.mkdir()
    (day / "notes.txt").write_bytes(b"0" * 50_000)
    (day / f"{TEMPORARY_PREFIX}x.png-1").write_bytes(b"half")
    reject_archive(tmp_path, 20_000).save(make_settled(1))
    assert (day / "notes.txt").exists()
    assert len(files(day)) == 1


def test_an_image_larger_than_the_quota_is_refused(
    tmp_path: Path, make_settled: MakeSettled
) -> None:
    with pytest.raises(OSError, match="max_bytes is 10"):
        reject_archive(tmp_path, 10).save(make_settled(1))
    assert files(tmp_path) == []


def test_a_pass_has_its_frame_alone(tmp_path: Path, make_settled: MakeSettled) -> None:
    reject_archive(tmp_path, keep=("PASS",)).save(make_settled(1, scored(1.0)))
    assert files(tmp_path) == ["2026-11-21/041401.000000_test-000001_PASS.frame.png"]


def test_a_sample_of_passes(tmp_path: Path, make_settled: MakeSettled) -> None:
    archive = reject_archive(tmp_path, pass_sample=0.25)
    good = make_settled(1, scored(1.0))
    kept = 0
    for number in range(2000):
        trigger = replace(good.trigger, trigger_id=f"run-{number:06d}")
        settled = replace(good, trigger=trigger)
        kept += bool(archive.names(settled))
        assert archive.names(settled) == archive.names(settled)
    assert 430 < kept < 570
    assert not reject_archive(tmp_path).names(good)


def test_passes_near_the_threshold(tmp_path: Path, make_settled: MakeSettled) -> None:
    archive = reject_archive(tmp_path, near_threshold=0.5)
    assert archive.names(make_settled(1, scored(2.1)))
    assert archive.names(make_settled(1, scored(2.5)))
    assert not archive.names(make_settled(1, scored(1.9)))
    review = make_settled(1, scored(2.4, Verdict.REVIEW))
    assert not archive.names(review)  # a rule for passes; others stand in `keep`


def test_passes_go_before_rejects(tmp_path: Path, make_settled: MakeSettled) -> None:
    archive = reject_archive(tmp_path, keep=("PASS", "REJECT"))
    archive.save(make_settled(1))  # the oldest is a reject
    archive.save(make_settled(2, scored(1.0)))
    archive.save(make_settled(3, scored(1.0)))
    full = reject_archive(tmp_path, size(tmp_path) + 100, keep=("PASS", "REJECT"))
    full.save(make_settled(4, scored(1.0)))
    names = " ".join(files(tmp_path))
    assert [number for number in (1, 2, 3, 4) if f"{number:06d}" in names] == [1, 3, 4]
    full.save(make_settled(5))
    names = " ".join(files(tmp_path))
    assert "000005_REJECT" in names
    assert "000001_REJECT" not in names or "PASS" not in names


def test_a_pass_drives_out_no_reject(tmp_path: Path, make_settled: MakeSettled) -> None:
    reject_archive(tmp_path).save(make_settled(1))
    before = files(tmp_path)
    archive = reject_archive(tmp_path, size(tmp_path) + 100, keep=("PASS",))
    with pytest.raises(OSError, match="no room for"):
        archive.save(make_settled(2, scored(1.0)))
    assert files(tmp_path) == before


def test_rejects_are_kept_longer(tmp_path: Path, make_settled: MakeSettled) -> None:
    rules = {"keep": ("PASS", "REJECT"), "max_age_days": 1, "reject_max_age_days": 10}
    config = ImagesConfig.model_validate({"max_bytes": PLENTY, "min_free_bytes": 0, **rules})
    now = DAY
    archive = ImageArchive(tmp_path, config, lambda: now)
    archive.save(make_settled(1, scored(1.0)))
    archive.save(make_settled(2))
    now = DAY + timedelta(days=2)
    ImageArchive(tmp_path, config, lambda: now).save(make_settled(3))
    assert {name.split("_")[2].split(".")[0] for name in files(tmp_path)} == {"REJECT"}
    now = DAY + timedelta(days=11)
    archive.save(make_settled(4, scored(1.0)))
    assert not any("000002" in name for name in files(tmp_path))


def test_space_is_left_free(
    tmp_path: Path, make_settled: MakeSettled, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = size(tmp_path) + 40_000

    def statvfs(_path: object) -> os.statvfs_result:
        free = disk - size(tmp_path)
        return os.statvfs_result((1, 1, disk, free, free, 0, 0, 0, 0, 255))

    monkeypatch.setattr(os, "statvfs", statvfs)
    archive = reject_archive(tmp_path, min_free_bytes=10_000)
    for number in range(1, 12):
        archive.save(make_settled(number))
        assert disk - size(tmp_path) >= 10_000
    assert any("000011" in name for name in files(tmp_path))
    (tmp_path / "other").write_bytes(b"0" * 39_000)
    with pytest.raises(OSError, match="min_free_bytes keeps it from the rest"):
        archive.save(make_settled(12))
    assert files(tmp_path) == ["other"]


@pytest.mark.parametrize("wrong", [1157, -20_000, 47_000])
def test_the_time_of_day_in_a_name_makes_no_image_old(
    tmp_path: Path, make_settled: MakeSettled, wrong: int
) -> None:
    now = DAY
    config = ImagesConfig(max_bytes=PLENTY, min_free_bytes=0, reject_max_age_days=10)
    archive = ImageArchive(tmp_path, config, lambda: now)
    archive.save(at_a_wrong_time(make_settled(1), wrong))
    now += timedelta(days=4)
    ImageArchive(tmp_path, config, lambda: now).save(make_settled(2))  # another process
    assert len(names_of(tmp_path, "000001")) == 3
    now += timedelta(days=7)
    ImageArchive(tmp_path, config, lambda: now).save(make_settled(3))
    assert not names_of(tmp_path, "000001")
    assert len(names_of(tmp_path, "000002")) == 3


@pytest.mark.parametrize("wrong", [1157, -20_000])
def test_the_oldest_go_first_when_the_clock_was_wrong(
    tmp_path: Path, make_settled: MakeSettled, wrong: int
) -> None:
    now = DAY
    plenty = ImagesConfig(max_bytes=PLENTY, min_free_bytes=0)
    archive = ImageArchive(tmp_path, plenty, lambda: now)
    for number, days in ((1, 0), (2, wrong), (3, 0)):
        now += timedelta(minutes=1)
        archive.save(at_a_wrong_time(make_settled(number), days))
    limit = plenty.model_copy(update={"max_bytes": size(tmp_path) + 100})
    ImageArchive(tmp_path, limit, lambda: now).save(make_settled(4))
    assert not names_of(tmp_path, "000001")
    assert len(names_of(tmp_path, "000002")) == 3


def test_an_image_of_a_clock_that_was_ahead_grows_old_from_now(
    tmp_path: Path, make_settled: MakeSettled
) -> None:
    config = ImagesConfig(max_bytes=PLENTY, min_free_bytes=0, reject_max_age_days=10)
    ImageArchive(tmp_path, config, lambda: DAY + timedelta(days=1157)).save(make_settled(1))
    ImageArchive(tmp_path, config, lambda: DAY).save(make_settled(2))
    ImageArchive(tmp_path, config, lambda: DAY + timedelta(days=11)).save(make_settled(3))
    assert not names_of(tmp_path, "000001")


def at_a_wrong_time(settled: Settled, days: int) -> Settled:
    moment = settled.trigger.triggered_utc + timedelta(days=days)
    return replace(settled, trigger=replace(settled.trigger, triggered_utc=moment))


def names_of(folder: Path, number: str) -> list[str]:
    return [name for name in files(folder) if number in name]
