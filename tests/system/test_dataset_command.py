"""`linewarden dataset`: its output, the files after a kill, and real images there and back."""

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from inspection.files import sha256_of
from inspection.images import read_image
from linewarden.command_line import main
from training.data.data_set import DataSet
from training.data.layout import read_data_set
from training.data.layouts import WRITABLE
from training.demo_parts import write_dataset

ROOT = Path(__file__).parents[2]

# A converter that dies while it adds the fifth file.
KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from training.data.layout import read_data_set
from training.data.layout import convert

copies, copy = [], shutil.copyfile

def copy_or_die(source, target):
    copies.append(source)
    if len(copies) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    copy(source, target)

shutil.copyfile = copy_or_die
convert(read_data_set(Path(sys.argv[1])), "uniad", Path(sys.argv[2]), link=False)
"""


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dataset") / "parts"
    write_dataset(root, good=5, test_good=2, defective_per_kind=1, size=(60, 80))
    return root


def test_show(parts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dataset", "show", str(parts)]) == 0
    rows = [re.sub(" +", " ", line) for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == f"{parts}: parts, layout mvtec"
    assert rows[1:3] == [" split category defect images masks", " train parts good 5 0"]
    assert " test parts good 2 0" in rows
    assert rows[-4:] == [
        "sizes (height x width): 1",
        f" 60x80: {5 + 2 + len(rows) - 8} images",
        f"colour: {5 + 2 + len(rows) - 8} images",
        "pictures in several files: 0",
    ]


def test_show_warns_of_a_picture_in_both_splits(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("train/good/a.png", "test/good/b.png", "test/good/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(next((parts / "train/good").iterdir()).read_bytes())
    assert main(["dataset", "show", str(tmp_path)]) == 0
    same = " = ".join(
        str(tmp_path / name) for name in ("train/good/a.png", "test/good/b.png", "test/good/c.png")
    )
    assert capsys.readouterr().out.endswith(
        f"pictures in several files: 1\n  {same}\n"
        f"warning: 1 of them are in both splits, or good and defective:\n  {same}\n"
    )


def test_convert_says_what_is_lost(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["dataset", "convert", str(parts), str(tmp_path / "out"), "--to", "ganomaly"]
    assert main([*words, "--link"]) == 0
    captured = capsys.readouterr()
    kinds = sorted(folder.name for folder in (parts / "ground_truth").iterdir())
    assert captured.err == (
        "warning: not kept in layout ganomaly: names of defects: "
        f"{', '.join(kinds)} become 'abnormal'\n"
        f"warning: not kept in layout ganomaly: {len(kinds)} masks\n"
    )
    expected = f"{tmp_path / 'out'}: {7 + len(kinds)} images, from layout mvtec to ganomaly\n"
    assert captured.out == expected
    assert main(words) == 5
    assert capsys.readouterr().err == (
        f"linewarden: {tmp_path / 'out'}: exists already; give another folder, or remove it first\n"
    )


def test_a_kill_leaves_no_half_of_a_data_set(parts: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(parts), str(out)], cwd=ROOT, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    assert len(list(tmp_path.iterdir())) == 1  # files of the dead process
    assert main(["dataset", "convert", str(parts), str(out), "--to", "uniad"]) == 0
    assert list(tmp_path.iterdir()) == [out]
    assert len(read_data_set(out).good) == 5


def pictures(data: DataSet, names: bool) -> list[tuple[str, str, str, str]]:
    """Returns every sample by its pixels: split, image, defect, mask."""
    return sorted(
        (
            split,
            str(hash(read_image(sample.path).tobytes())),
            sample.defect if names else str(sample.is_good),
            sha256_of(sample.mask) if sample.mask else "",
        )
        for split, samples in data.splits.items()
        for sample in samples
    )


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("to", [name for name in WRITABLE if name != "ganomaly"])
def test_real_images_there_and_back(shared: Path, tmp_path: Path, to: str) -> None:
    source, there, back = shared / "data/hazelnut_toy", tmp_path / "there", tmp_path / "back"
    assert main(["dataset", "convert", str(source), str(there), "--to", to]) == 0
    assert main(["dataset", "convert", str(there), str(back), "--to", "mvtec"]) == 0
    names = to in ("mvtec", "uniad")
    data, returned = read_data_set(source), read_data_set(back)
    assert len(data.good) == 28
    assert pictures(returned, names) == pictures(data, names)
    if to != "ksdd2":  # which is PNG
        kept = {sha256_of(s.path) for s in data.good + data.test}
        assert {sha256_of(s.path) for s in returned.good + returned.test} == kept


@pytest.mark.parametrize("action", ["show", "convert"])
def test_files_that_are_left_out_are_warnings(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], action: str
) -> None:
    shutil.copytree(parts, tmp_path / "parts")
    left_out = tmp_path / "parts/train/good/monday/a.png"
    left_out.parent.mkdir()
    shutil.copyfile(next((parts / "train/good").iterdir()), left_out)
    words = [str(tmp_path / "out"), "--to", "uniad"] if action == "convert" else []
    assert main(["dataset", action, str(tmp_path / "parts"), *words]) == 0
    assert capsys.readouterr().err == (
        f"warning: {tmp_path / 'parts/train/good'}: 1 images in subfolders are not read: monday/\n"
    )
