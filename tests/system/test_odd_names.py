"""Each command that takes files or folders, with names that are not UTF-8 or hold newlines."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from inspection.files import write_text
from linewarden.command_line import main
from linewarden.exit_codes import UNACCEPTABLE
from tests.doubles.line_folder import GENEROUS_S, ROOT, command, linewarden
from tests.system.test_chain import SMALL
from training.data.layout import read_data_set
from training.data.layouts import WRITABLE
from training.demo_parts import write_dataset

BYTES, NEWLINE = os.fsdecode(b"\xff\xfe"), "two\nlines"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Writes a data set whose folder, images, masks and kinds of defects have odd names."""
    root = tmp_path_factory.mktemp("odd") / f"parts{BYTES}{NEWLINE}"
    write_dataset(root, good=24, test_good=4, defective_per_kind=2, size=(120, 160))
    for image in [*root.rglob("*.png")]:
        number, _, mask = image.stem.partition("_")
        odd = BYTES if int(number) % 2 else NEWLINE
        image.rename(image.with_name(f"{odd}{number}{'_mask' if mask else ''}.png"))
    kind = next(folder for folder in (root / "ground_truth").iterdir())
    for split in ("ground_truth", "test"):
        (root / split / kind.name).rename(root / split / f"hole{BYTES}")
    return root


@pytest.fixture(scope="module")
def trained(parts: Path) -> Path:
    """Trains, exports and calibrates; returns the folder of `run` and `bundle`."""
    work = parts.parent / f"work{BYTES}"
    work.mkdir()
    write_text(work / "train.yaml", yaml.safe_dump(SMALL))
    words = ["--config", str(work / "train.yaml"), "--out", str(work / "run")]
    assert main(["train", str(parts), *words]) == 0
    assert main(["export", str(work / "run"), str(work / "bundle")]) == 0
    good = ["--good", str(parts / "train/good"), "--report", str(work / "calibration.html")]
    assert main(["calibrate", str(work / "bundle"), *good]) == 0
    return work


def read(path: Path) -> str:
    """Returns a file that has to be UTF-8 without lone surrogates."""
    return path.read_bytes().decode()


def strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for entry in value.items():
            yield from strings(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from strings(entry)


def test_files_of_the_chain_are_utf8_and_lead_back_to_the_images(
    parts: Path, trained: Path
) -> None:
    record = json.loads(read(trained / "run/run.json"))
    assert record["name"] == r"parts\xff\xfetwo\nlines"
    held_out = [entry["path"] for entry in record["held_out"]]
    assert held_out
    assert all(r"\xff\xfetwo\nlines/train/good/" in path for path in held_out)
    written = [path for path in trained.rglob("*") if path.suffix in {".json", ".html", ".yaml"}]
    assert len(written) >= 5
    for path in written:
        read(path)
    for path in (path for path in written if path.suffix == ".json"):
        for text in strings(json.loads(read(path))):
            text.encode()
    assert main(["verify", str(trained / "bundle")]) == 0


def test_evaluate(parts: Path, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / f"report{BYTES}"
    assert main(["evaluate", str(trained / "bundle"), str(parts), "--out", str(out)]) == 0
    result = json.loads(read(out / "result.json"))
    assert any("\\xff\\xfe" in text for text in strings(result))
    assert r"hole\xff\xfe/" in read(next(out.glob("*.html")))


def test_acceptance(parts: Path, trained: Path, tmp_path: Path) -> None:
    words = ["--out", str(tmp_path / "out"), "--repeats", "1"]
    code = main(["acceptance", str(trained / "bundle"), str(parts), *words])
    assert code in (0, UNACCEPTABLE)  # the names are tested here, and not the model
    names = set(strings(json.loads(read(tmp_path / "out/acceptance.json"))))
    assert rf"good/two\nlines000.png" in names  # noqa: F541 - as it is written
    assert any(name.startswith(r"hole\xff\xfe/") for name in names)
    read(tmp_path / "out/acceptance.html")


@pytest.mark.parametrize("shown", [(), ("--json",)])
def test_inspect_in_a_strict_terminal(
    parts: Path, trained: Path, tmp_path: Path, shown: tuple[str, ...]
) -> None:
    damaged = parts.parent / f"damaged{BYTES}.png"
    damaged.write_bytes(b"no image")
    images = [*sorted((parts / "test/good").iterdir()), damaged]
    done = subprocess.run(
        command("inspect", "--bundle", trained / "bundle", "--save", tmp_path / "out", *shown)
        + [str(image) for image in images],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
        capture_output=True,
        timeout=GENEROUS_S,
        check=False,
    )
    assert done.returncode == 5, done.stderr  # for the damaged one
    lines = done.stdout.decode().splitlines()
    assert len(lines) == len(images)
    names = [json.loads(line)["image"] if shown else line for line in lines]
    assert rf"damaged\xff\xfe.png" in names[-1]  # noqa: F541 - as it is written
    assert all(r"two\nlines/test/good/" in name for name in names[:-1])
    assert len(list((tmp_path / "out").iterdir())) == 2 * (len(images) - 1)


def test_run_records_and_back(parts: Path, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "line.yaml").write_text(
        yaml.safe_dump(
            {
                "bundle": str(trained / "bundle").replace(BYTES, r"\xff\xfe"),
                "camera": {"kind": "replay", "path": "parts"},
                "deadline_ms": 30000,
                "records": {"folder": f"records{NEWLINE}".replace("\n", r"\n")},
                "outputs": [{"kind": "jsonlines", "path": r"lines\xff.jsonl"}],
            }
        )
    )
    (tmp_path / "parts").symlink_to(parts / "test/good")
    done = linewarden("run", "--config", tmp_path / "line.yaml")
    assert done.returncode == 0, done.stderr
    lines = read(tmp_path / os.fsdecode(b"lines\xff.jsonl")).splitlines()
    sources = [json.loads(line)["source"] for line in lines]
    assert sorted(sources) == [
        r"\xff\xfe001.png",
        r"\xff\xfe003.png",
        r"two\nlines000.png",
        r"two\nlines002.png",
    ]
    listed = linewarden("records", "list", tmp_path / f"records{NEWLINE}", "--format", "jsonl")
    assert [json.loads(line)["source"] for line in listed.stdout.splitlines()] == sources
    made = linewarden(
        *("dataset", "from-records", tmp_path / "line.yaml", tmp_path / "set", "--to", "plain"),
        "--passes",
    )
    assert made.returncode in (0, 9), made.stderr
    assert "Traceback" not in made.stderr


@pytest.mark.parametrize("layout", sorted(WRITABLE))
def test_a_data_set_in_another_layout(parts: Path, tmp_path: Path, layout: str) -> None:
    out = tmp_path / f"out{BYTES}"
    assert main(["dataset", "show", str(parts)]) == 0
    assert main(["dataset", "convert", str(parts), str(out), "--to", layout]) == 0
    before, after = read_data_set(parts), read_data_set(out)
    assert {split: len(samples) for split, samples in after.splits.items()} == {
        split: len(samples) for split, samples in before.splits.items()
    }
    masks = layout != "ganomaly"  # which has none
    assert not masks or sum(sample.mask is not None for sample in after.test) >= sum(
        sample.mask is not None for sample in before.test
    )
    for path in out.rglob("*"):
        assert str(path.relative_to(out)).isprintable()
        if path.suffix in {".json", ".csv"}:
            read(path)


@pytest.mark.parametrize("runtime", ["triton", "deepstream"])
def test_convert(trained: Path, tmp_path: Path, runtime: str) -> None:
    out = tmp_path / f"served{BYTES}"
    assert main(["convert", str(trained / "bundle"), str(out), "--to", runtime]) == 0
    for path in out.rglob("*"):
        assert str(path.relative_to(out)).isascii()
        if path.suffix in {".json", ".md", ".txt", ".pbtxt"}:
            read(path)


def test_a_setting_on_the_command_line_names_any_file(trained: Path, parts: Path) -> None:
    words = ["--config", str(trained / "train.yaml"), "--out", str(trained / "again")]
    assert main(["train", *words, "--set", f"data.folder={parts}".replace("\n", r"\n")]) == 0
