"""Tests that a store installs only complete and verified bundles, and that it can roll back."""

import hashlib
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from inspection.bundle import Bundle, open_bundle, package
from inspection.bundle.installed import BundleStore, Version
from inspection.bundle.manifest import parse_manifest
from inspection.bundle.package import open_package, records_of, require_exported
from inspection.errors import BundleError, ConfigError, EngineError
from inspection.files import TEMPORARY_PREFIX, point_link
from inspection.trust.keys import Keys
from inspection.trust.signature import sign
from inspection.verdict import Thresholds
from tests.doubles.keys import own_key, trusted_key

ROOT = Path(__file__).parents[4]
# An installation that stops in the middle of the largest file, until it is killed.
STUCK = """
import sys, time
from pathlib import Path
from inspection.bundle import package as bundle_package
from inspection.bundle.installed import BundleStore
def blocks(what, open_stream):
    yield open_stream().read()
    if what.name == "model.onnx":
        print("stuck", flush=True)
        time.sleep(60)
bundle_package._blocks = blocks
BundleStore(Path(sys.argv[1])).install(Path(sys.argv[2]))
"""


def proven(_: Bundle) -> None:
    """Accepts every bundle, like a machine on which everything runs."""


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    return BundleStore(tmp_path / "store", Keys())


def pack(bundle: Bundle, target: Path, top: str = "") -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(bundle.folder.rglob("*")):
            archive.write(file, top + file.relative_to(bundle.folder).as_posix())
    return target


def other(bundle: Bundle, threshold: float = 0.25, recipe: str = "default") -> Bundle:
    """Calibrates the bundle again, which makes another version of it."""
    active = bundle.calibration("default", "model.onnx")
    values = {"thresholds": Thresholds(threshold, 0.5), "recipe": recipe}
    bundle.add_calibration(active.model_copy(update=values))
    return bundle


def resealed(bundle: Bundle, **values: object) -> None:
    """Gives the manifest other values, with a valid seal."""
    forged = bundle.manifest.model_copy(update=values).sealed()
    (bundle.folder / "manifest.json").write_text(forged.model_dump_json())


@pytest.fixture
def two(store: BundleStore, tiny_bundle: Bundle) -> tuple[Version, Version]:
    """Installs two versions and activates the first."""
    first = store.install(tiny_bundle.folder)
    store.activate(first, proven)
    return first, store.install(other(tiny_bundle).folder)


def active(store: BundleStore) -> str | None:
    found = [version.version for version in store.versions("tiny") if version.is_active]
    return found[0] if found else None


@pytest.mark.parametrize("top", [None, "", "flange/"])
def test_a_folder_and_a_zip_give_the_same_version(
    top: str | None, store: BundleStore, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    source = tiny_bundle.folder if top is None else pack(tiny_bundle, tmp_path / "b.zip", top)
    version = store.install(source)
    assert open_bundle(version.folder, Keys()).manifest == tiny_bundle.manifest
    assert store.install(tiny_bundle.folder) == version
    assert store.names() == ["tiny"]
    assert [v.version for v in store.versions("tiny")] == [version.version]
    assert not version.is_active


def test_engines_stay_behind_and_calibrations_come_along(
    store: BundleStore, tiny_bundle: Bundle
) -> None:
    plan = tiny_bundle.folder / "engines/orin/fp32/model.plan"
    plan.parent.mkdir(parents=True)
    plan.write_bytes(b"code")
    other(tiny_bundle)
    version = store.install(tiny_bundle.folder)
    found = {p.relative_to(version.folder).as_posix() for p in version.folder.rglob("*")}
    assert not any("engines" in name for name in found)
    assert open_bundle(version.folder, Keys()).calibrations() == tiny_bundle.calibrations()
    assert len(tiny_bundle.calibrations()) == 2


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json", "calibration/default.json"])
def test_what_does_not_verify_is_not_installed(
    name: str, store: BundleStore, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    content = bytearray((tiny_bundle.folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tiny_bundle.folder / name).write_bytes(content)
    packed = pack(tiny_bundle, tmp_path / "b.zip")
    for source in (tiny_bundle.folder, packed):
        with pytest.raises(BundleError, match=rf"^{source}"):
            store.install(source)
    assert store.names() == []


@pytest.mark.parametrize("packs", [False, True])
def test_a_damaged_source_of_an_installed_version_is_refused(
    packs: bool, store: BundleStore, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    store.install(tiny_bundle.folder)
    with (tiny_bundle.folder / "model.onnx").open("ab") as stream:
        stream.write(b"x")
    source = pack(tiny_bundle, tmp_path / "b.zip") if packs else tiny_bundle.folder
    refused = rf"^{source}: model.onnx is not what was exported \(\d+ bytes, and the manifest says"
    with pytest.raises(BundleError, match=refused):
        store.install(source)
    model = tiny_bundle.folder / "model.onnx"
    model.write_bytes(bytes(model.stat().st_size - 1))
    with pytest.raises(BundleError, match=r"model.onnx is not what was exported: copy the bundle"):
        store.install(tiny_bundle.folder)
    model.unlink()
    with pytest.raises(BundleError, match=r"model.onnx is missing"):
        store.install(tiny_bundle.folder)


def test_a_version_that_was_damaged_is_installed_anew(
    store: BundleStore, tiny_bundle: Bundle
) -> None:
    version = store.install(tiny_bundle.folder)
    damaged = version.folder.rename(
        version.folder.with_name(f"20200101T000000Z-{version.version.partition('-')[2]}")
    )
    (damaged / "model.onnx").write_bytes(b"")
    again = store.install(tiny_bundle.folder)
    assert again.folder != damaged
    assert open_bundle(again.folder, Keys()).manifest == tiny_bundle.manifest
    assert store.install(tiny_bundle.folder) == again


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil"])
def test_a_zip_that_leaves_the_bundle_is_refused(
    name: str, store: BundleStore, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    packed = pack(tiny_bundle, tmp_path / "b.zip")
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr(name, b"evil")
    with pytest.raises(BundleError, match=r"leaves the bundle; do not use"):
        store.install(packed)
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("GOLDEN\x1b[2J.png", "holds control characters"),
        ("a\u202egnp.exe", "holds control characters"),
        ("model.onnx\x00.png", "holds control characters"),
        ("MODEL.onnx", "model.onnx and MODEL.onnx differ in their case alone"),
        ("a//b", "is too long or no plain path"),
        ("a/./b", "is too long or no plain path"),
        ("a\\b", "is too long or no plain path"),
        ("x" * 256, "is too long or no plain path"),
        ("x/" * 600 + "y", "is too long or no plain path"),
        ("calibration/\x1b[2J.json", "holds control characters"),
    ],
)
def test_names_that_no_disk_or_screen_takes_are_refused(
    name: str, reason: str, store: BundleStore, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    packed = pack(tiny_bundle, tmp_path / "b.zip")
    entry = zipfile.ZipInfo("replaced")
    entry.filename = name  # the constructor cuts a name at its first NUL
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr(entry, b"evil")
    with pytest.raises(BundleError, match=re.escape(reason)) as refused:
        store.install(packed)
    assert str(refused.value).isprintable()
    assert store.names() == []


@pytest.mark.parametrize("name", ["flange\n", "flange\x1b[2J", "\x00", "flange\u202e"])
def test_a_bundle_with_control_characters_in_its_name_is_refused(
    name: str, store: BundleStore, tiny_bundle: Bundle
) -> None:
    resealed(tiny_bundle, name=name)
    for refuse in (store.install, open_bundle):
        with pytest.raises(BundleError, match="holds control characters; export the") as refused:
            refuse(tiny_bundle.folder)
        assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("model.xml", "its manifest names model.xml, which export never writes"),
        ("model.bin", "its manifest names model.bin, which export never writes"),
        ("model.ort", "its manifest names model.ort, which export never writes"),
        ("Model.onnx", "model.onnx and Model.onnx differ in their case alone"),
        ("a\x00.onnx", "holds control characters"),
        ("x" * 300 + ".onnx", "is too long or no plain path"),
    ],
)
def test_files_that_an_engine_could_read_otherwise_are_refused(
    name: str, reason: str, tiny_bundle: Bundle
) -> None:
    resealed(tiny_bundle, files={**tiny_bundle.manifest.files, name: "0" * 64}, sizes={})
    with pytest.raises(BundleError, match=re.escape(reason)):
        open_bundle(tiny_bundle.folder, Keys())


def test_sizes_of_other_files_are_refused(tiny_bundle: Bundle) -> None:
    resealed(tiny_bundle, sizes={"model.onnx": 1})
    with pytest.raises(BundleError, match="has sizes of other files than those it names"):
        open_bundle(tiny_bundle.folder, Keys())


def test_a_bundle_of_a_release_without_sizes_opens(store: BundleStore, tiny_bundle: Bundle) -> None:
    resealed(tiny_bundle, sizes={})
    assert "sizes" not in (tiny_bundle.folder / "manifest.json").read_text()
    store.install(tiny_bundle.folder)


def test_a_manifest_is_bounded_before_it_is_read(
    store: BundleStore, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    with (tiny_bundle.folder / "manifest.json").open("ab") as stream:
        stream.write(b" " * (17 << 20))
    packed = pack(tiny_bundle, tmp_path / "b.zip")
    for source in (packed, tiny_bundle.folder):
        with pytest.raises(BundleError, match=r"its manifest\.json has 17 MiB; no bundle has more"):
            store.install(source)
    with pytest.raises(BundleError, match=r"has more than 16 MiB, and no such file is so large"):
        open_bundle(tiny_bundle.folder, Keys())


def test_a_file_that_grows_while_it_is_copied_is_refused(
    store: BundleStore, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = package._Folder.blocks

    def growing(folder: package._Folder, name: str) -> Iterator[bytes]:
        yield from real(folder, name)
        if name == "model.onnx":
            yield b"more"

    monkeypatch.setattr(package._Folder, "blocks", growing)
    with pytest.raises(BundleError, match=r"model\.onnx: grew while it was copied"):
        store.install(tiny_bundle.folder)
    assert store.names() == []


def test_links_in_a_zip_and_in_a_folder_are_not_followed(
    store: BundleStore, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    packed = pack(tiny_bundle, tmp_path / "b.zip")
    with zipfile.ZipFile(packed, "a") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(BundleError, match="link is a link, or occurs twice"):
        store.install(packed)
    outside = tmp_path / "outside.onnx"
    (tiny_bundle.folder / "model.onnx").rename(outside)
    (tiny_bundle.folder / "model.onnx").symlink_to(outside)
    with pytest.raises(BundleError, match=r"model\.onnx is missing"):
        store.install(tiny_bundle.folder)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_that_is_there_twice_is_refused(
    store: BundleStore, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    packed = pack(tiny_bundle, tmp_path / "b.zip")
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("model.onnx", b"other")
    with pytest.raises(BundleError, match=r"model\.onnx is a link, or occurs twice"):
        store.install(packed)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_to_pack_are_refused(
    method: int, store: BundleStore, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    packed = pack(tiny_bundle, tmp_path / "b.zip")
    with zipfile.ZipFile(packed, "a", method) as archive:
        archive.writestr("more", b"x" * 100)
    with pytest.raises(BundleError, match="more is encrypted, or is not packed with deflate"):
        store.install(packed)


def test_a_bomb_is_refused_before_it_is_unpacked(
    store: BundleStore, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    zeros = bytes(3 << 20)
    (tiny_bundle.folder / "model.onnx").write_bytes(zeros)
    packed = pack(tiny_bundle, tmp_path / "b.zip")
    assert packed.stat().st_size < 100_000
    with pytest.raises(BundleError, match=r"3145728 bytes, and the manifest says \d\d\d\)"):
        store.install(packed)
    # A manifest that names the zeros, of this release and of an older one without sizes.
    files = {**tiny_bundle.manifest.files, "model.onnx": hashlib.sha256(zeros).hexdigest()}
    small = BundleStore(tmp_path / "store", Keys(), max_bytes=2 << 20)
    for sizes in ({**tiny_bundle.manifest.sizes, "model.onnx": len(zeros)}, {}):
        resealed(tiny_bundle, files=files, sizes=sizes)
        packed = pack(tiny_bundle, tmp_path / "b.zip")
        with pytest.raises(BundleError, match=r"has 3 MiB, and .* takes at most 2 MiB: free some"):
            small.install(packed)
        manifest = parse_manifest((tiny_bundle.folder / "manifest.json").read_bytes(), packed)
        with (
            open_package(packed) as package,
            pytest.raises(BundleError, match="has 0 MiB and unpacks to 3 MiB; the weights of a mo"),
        ):
            require_exported(package, manifest, packed, free_bytes=2 << 20)
        with open_package(tiny_bundle.folder) as package:
            require_exported(package, manifest, tiny_bundle.folder, free_bytes=2 << 20)
    assert store.names() == []
    (tiny_bundle.folder / "calibration/more.json").write_bytes(bytes(3 << 20))
    packed = pack(tiny_bundle, tmp_path / "c.zip")
    with (
        open_package(packed) as package,
        pytest.raises(BundleError, match="manifest and calibrations have 3 MiB"),
    ):
        records_of(package, packed, max_bytes=2 << 20)


def test_what_the_manifest_does_not_name_is_never_unpacked(
    store: BundleStore, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    packed = pack(tiny_bundle, tmp_path / "b.zip")
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("bomb", b"x")
        archive.writestr("engines/orin/fp32/model.plan", b"x")
    version = store.install(packed)
    assert not (version.folder / "bomb").exists()
    assert not (version.folder / "engines").exists()


@pytest.mark.parametrize("name", ["engines/o/fp32/model.plan", "calibration/d.json", "signature"])
def test_a_manifest_cannot_name_what_no_export_writes(
    name: str, store: BundleStore, tiny_bundle: Bundle
) -> None:
    files = {**tiny_bundle.manifest.files, name: "0" * 64}
    forged = tiny_bundle.manifest.model_copy(update={"files": files}).sealed()
    (tiny_bundle.folder / "manifest.json").write_text(forged.model_dump_json())
    with pytest.raises(BundleError, match=f"its manifest names {name}, which export never writes"):
        store.install(tiny_bundle.folder)
    with pytest.raises(BundleError, match="which export never writes"):
        open_bundle(tiny_bundle.folder, Keys())


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "x" * 101])
def test_a_name_that_is_no_folder_is_refused(
    name: str, store: BundleStore, tiny_bundle: Bundle
) -> None:
    renamed = tiny_bundle.manifest.model_copy(update={"name": name}).sealed()
    (tiny_bundle.folder / "manifest.json").write_text(renamed.model_dump_json())
    with pytest.raises(BundleError, match="cannot be a folder; export it under another"):
        store.install(tiny_bundle.folder)


def test_a_damaged_zip_is_refused_wherever_it_is_damaged(
    store: BundleStore, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    packed = pack(tiny_bundle, tmp_path / "b.zip")
    whole = packed.read_bytes()
    for length in range(0, len(whole) - 1, max(1, len(whole) // 40)):
        packed.write_bytes(whole[:length])
        with pytest.raises(BundleError):
            store.install(packed)
    for position in range(0, len(whole), max(1, len(whole) // 60)):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        packed.write_bytes(damaged)
        try:
            version = store.install(packed)
        except BundleError:
            continue
        # The store ignores times and modes of the entries: their content is right.
        assert open_bundle(version.folder, Keys()).manifest == tiny_bundle.manifest
        store.remove(version)
    assert store.versions("tiny") == []


def test_neither_a_folder_nor_a_zip(store: BundleStore, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no")
    (tmp_path / "empty").mkdir()
    for name in ("text", "nowhere"):
        with pytest.raises(
            BundleError, match=r"is not a bundle: give its folder, or a \.zip of it"
        ):
            store.install(tmp_path / name)
    with pytest.raises(BundleError, match=r"has no manifest\.json: it is not a bundle"):
        store.install(tmp_path / "empty")


def test_a_killed_installation_leaves_nothing_that_the_next_does_not_remove(
    store: BundleStore, tiny_bundle: Bundle
) -> None:
    words = [sys.executable, "-c", STUCK, str(store.folder), str(tiny_bundle.folder)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stuck\n"
        process.send_signal(signal.SIGKILL)
    home = store.folder / "tiny"
    assert store.versions("tiny") == []
    (leftover,) = home.glob(f"{TEMPORARY_PREFIX}*")
    leftover.rename(home / f"{TEMPORARY_PREFIX}20200101T000000Z-0123456789ab-1")  # of another time
    version = store.install(tiny_bundle.folder)
    assert {path.name for path in home.iterdir()} == {".lock", version.version}


def test_a_store_that_cannot_be_written_is_told(tiny_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cannot be made .*choose another with --store"):
        BundleStore(tmp_path / "file", Keys()).install(tiny_bundle.folder)


def test_signed_bundles_alone_are_installed_where_a_key_is_trusted(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = trusted_key(monkeypatch, tmp_path / "keys")
    store = BundleStore(tmp_path / "store")
    with pytest.raises(BundleError, match=rf"^{tiny_bundle.folder}: is not signed"):
        store.install(tiny_bundle.folder)
    sign(tiny_bundle.folder, "manifest.json", [], key)
    with pytest.raises(BundleError, match="have the bundle signed with its calibrations"):
        store.install(tiny_bundle.folder)
    sign(tiny_bundle.folder, "manifest.json", tiny_bundle.calibrations(), key)
    version = store.install(tiny_bundle.folder)
    store.activate(version, proven)
    assert active(store) == version.version


def test_calibrations_of_elsewhere_are_not_installed_where_the_machine_has_a_key(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_key(monkeypatch, tmp_path / "keys")
    store = BundleStore(tmp_path / "store")
    with pytest.raises(BundleError, match="neither this machine's key nor a trusted signature"):
        store.install(tiny_bundle.folder)
    shutil.rmtree(tiny_bundle.folder / "calibration")
    store.install(tiny_bundle.folder)


def test_one_version_is_active_and_the_one_before_is_kept(
    store: BundleStore, two: tuple[Version, Version]
) -> None:
    first, second = two
    store.activate(second, proven)
    assert active(store) == second.version
    assert store.find("tiny", first.version).is_previous
    assert open_bundle(store.folder / "tiny/active", Keys()).folder == second.folder
    assert store.roll_back("tiny", proven).version == first.version
    assert active(store) == first.version
    with pytest.raises(BundleError, match="has no previous version to go back to"):
        store.roll_back("tiny", proven)


def test_activating_the_active_version_again_keeps_the_way_back(
    store: BundleStore, two: tuple[Version, Version]
) -> None:
    store.activate(two[1], proven)
    store.activate(two[1], proven)
    assert store.roll_back("tiny", proven).version == two[0].version


def test_what_was_opened_stays_when_the_link_moves(
    store: BundleStore, two: tuple[Version, Version]
) -> None:
    first, second = two
    opened = open_bundle(store.folder / "tiny/active", Keys())
    store.activate(second, proven)
    assert opened.folder == first.folder
    assert opened.calibration("default", "model.onnx").thresholds.reject == 0.5


def test_a_crash_between_the_two_links_leaves_the_active_version(
    store: BundleStore, two: tuple[Version, Version]
) -> None:
    first, second = two
    point_link(store.folder / "tiny/previous", first.version)
    assert active(store) == first.version
    assert not any(version.is_previous for version in store.versions("tiny"))
    store.activate(second, proven)
    assert store.find("tiny", first.version).is_previous


@pytest.mark.parametrize("damage", ["model.onnx", "calibration/default.json"])
def test_a_version_that_does_not_verify_any_more_is_not_activated(
    damage: str, store: BundleStore, two: tuple[Version, Version]
) -> None:
    first, second = two
    (second.folder / damage).write_bytes(b"{}")
    with pytest.raises(BundleError):
        store.activate(second, proven)
    assert active(store) == first.version


def test_a_version_that_does_not_run_here_is_not_activated(
    store: BundleStore, two: tuple[Version, Version]
) -> None:
    def refuse(_: Bundle) -> None:
        raise EngineError("it does not run")

    with pytest.raises(EngineError, match="it does not run"):
        store.activate(two[1], refuse)
    assert active(store) == two[0].version
    store.activate(two[1], proven)
    with pytest.raises(EngineError, match="it does not run"):
        store.roll_back("tiny", refuse)
    assert active(store) == two[1].version


def test_what_is_not_calibrated_is_not_activated(store: BundleStore, tiny_bundle: Bundle) -> None:
    shutil.rmtree(tiny_bundle.folder / "calibration")
    version = store.install(tiny_bundle.folder)
    with pytest.raises(BundleError, match=r"no recipe is calibrated: linewarden calibrate"):
        store.activate(version, proven)


def test_a_version_must_know_the_recipes_that_run_now(
    store: BundleStore, tiny_bundle: Bundle
) -> None:
    fewer = store.install(tiny_bundle.folder)
    more = store.install(other(tiny_bundle, recipe="7").folder)
    store.activate(more, proven)
    with pytest.raises(BundleError, match=r"for what runs now \(7 through model\.onnx\)"):
        store.activate(fewer, proven)
    store.activate(fewer, proven, allow_changes=True)
    assert active(store) == fewer.version


def test_a_damaged_active_version_does_not_stand_in_the_way(
    store: BundleStore, two: tuple[Version, Version]
) -> None:
    (two[0].folder / "model.onnx").unlink()
    store.activate(two[1], proven)
    assert active(store) == two[1].version
    with pytest.raises(BundleError, match=r"model\.onnx is missing"):
        store.roll_back("tiny", proven)


def test_a_version_is_found_by_the_start_of_its_time_or_hash(
    store: BundleStore, two: tuple[Version, Version]
) -> None:
    second = two[1].version
    assert store.find("tiny", second.partition("-")[2][:6]).version == second
    with pytest.raises(BundleError, match="has more than one version '20'"):
        store.find("tiny", "20")
    for nothing in ("", "zz"):
        with pytest.raises(BundleError, match=f"has no version {nothing!r} of tiny; it has 2"):
            store.find("tiny", nothing)
    with pytest.raises(BundleError, match="it has none of a bundle 'other'"):
        store.find("other", "1")


def test_active_and_previous_are_not_removed(
    store: BundleStore, two: tuple[Version, Version], tiny_bundle: Bundle
) -> None:
    store.activate(two[1], proven)
    third = store.install(other(tiny_bundle, 0.75).folder)
    for version in two:
        with pytest.raises(BundleError, match="is the active or the previous version"):
            store.remove(version)
    store.remove(third)
    assert {version.version for version in store.versions("tiny")} == {v.version for v in two}


def test_two_who_activate_at_the_same_time_do_it_one_after_the_other(
    store: BundleStore, two: tuple[Version, Version], tiny_bundle: Bundle
) -> None:
    third = store.install(other(tiny_bundle, 0.75).folder)
    inside = threading.Semaphore(1)

    def alone(_: Bundle) -> None:
        assert inside.acquire(blocking=False)
        time.sleep(0.01)
        inside.release()

    def switch(version: Version) -> None:
        for _ in range(5):
            store.activate(version, alone)

    threads = [threading.Thread(target=switch, args=(v,)) for v in (two[1], third)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    marks = [(v.is_active, v.is_previous) for v in store.versions("tiny")]
    assert sorted(marks) == [(False, False), (False, True), (True, False)]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_of_another_user_is_told(store: BundleStore, tiny_bundle: Bundle) -> None:
    store.install(tiny_bundle.folder)
    home = store.folder / "tiny"
    home.chmod(0o555)
    with pytest.raises(BundleError, match=r"run this as the owner of that folder"):
        store.install(other(tiny_bundle).folder)
