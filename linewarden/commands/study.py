"""Measure the whole chain: train, export, calibrate and evaluate, several times.

'accuracy' runs every --config on every DATA folder with every seed. The figures come
from the exported artefact at its calibrated threshold, after the last epoch; no test
image chooses an epoch or a threshold. --work keeps each finished training, so that a
stopped study continues; the pages show all seeds in it. What another configuration or
other images have made is refused by name.

examples:
  linewarden study accuracy --config configs/train/supersimplenet-cpu.yaml \\
      configs/train/simplenet-cpu.yaml --seeds 1 2 3 --work study \\
      --out docs/measured/accuracy.md --data data/cookies data/hazelnut

files:
  OUT                 tables, Markdown
  WORK/study.html     the same with charts and pictures, without a network
  WORK/<config>-<data>-<seed>/   inputs.json, run, bundle, row.json, sheet.jpg
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from export.study import finished, latencies_ms, measure_once
from export.study_report import markdown, write_study
from inspection.files import write_text
from linewarden.training_run import fit_with_progress, load_train_config, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("study", choices=["accuracy"], help="which study")
    parser.add_argument(
        "--data", nargs="+", required=True, type=Path, help="data sets with test images"
    )
    parser.add_argument(
        "--config", nargs="+", required=True, type=Path, help="training configurations"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="setting")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3], help="default: 1 2 3")
    parser.add_argument(
        "--remark", default="", metavar="TEXT", help="paragraph: where the settings come from"
    )
    parser.add_argument(
        "--work", required=True, type=Path, metavar="FOLDER", help="folder of finished trainings"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="Markdown to write")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")


def run(args: argparse.Namespace) -> int:
    """Runs the missing trainings, then writes the pages."""
    for data in args.data:
        for source in args.config:
            for seed in args.seeds:
                settings = [*args.set, f"data.folder={data.resolve()}", f"fit.seed={seed}"]
                config = load_train_config(source, settings, default_weights=True)
                say(f"study: {source.stem} on {data.name}, seed {seed}")
                measure_once(source.stem, config, data, args.work, fit_with_progress)
    done = finished(args.work, [c.stem for c in args.config], [d.name for d in args.data])
    latencies = latencies_ms(done)
    made_by = f"`make study` with {_names(args.config)}"
    text = markdown([row for row, _ in done], latencies, made_by, args.remark)
    write_text(args.out, text)
    write_study(args.work / "study.html", done, latencies, args.remark)
    rows = [row.model_dump(mode="json") for row, _ in done]
    print(json.dumps({"rows": rows, "latency_ms": latencies}) if args.json else text)
    return 0


def _names(configs: list[Path]) -> str:
    return ", ".join(f"`{config.name}`" for config in configs)
