"""Test a calibrated bundle in an acceptance study, with a report to sign.

The study shows every labelled part several times, in random order. It grades miss rate,
false alarm rate, effectiveness and kappa by the limits of the AIAG manual for attribute
measurement systems, with bounds that count parts. DATA has a folder good and a folder
for each kind of defect, or a folder test with these. A part is an image, shown --repeats
times, or a folder of shots, each shown once: only shots also test camera, light and
position. REVIEW and NO_VERDICT count as rejected.

The exit code is 11 when the study is graded unacceptable; a marginal one ends with 0.

examples:
  linewarden acceptance bundles/flange parts/flange
  linewarden acceptance bundles/flange shots/flange --recipe 7 --out acceptance
  linewarden acceptance bundles/flange parts/flange --repeats 5 --json | jq .agreement

files, in OUT (default: BUNDLE-acceptance/DATA/RECIPE):
  acceptance.html   the report for a browser, which needs no network; print it from there
  acceptance.json   every verdict and score, hashes, figures, with a seal
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from calibration.acceptance import AcceptanceStudy, study
from calibration.acceptance_report import figure_rows, proof, statement, write_acceptance_report
from calibration.agreement import Grade
from calibration.labelled_parts import REPEATS, read_plan
from inspection.files import write_text
from linewarden.classification_text import classification_lines
from linewarden.exit_codes import UNACCEPTABLE
from linewarden.options import add_inspector_arguments, open_inspector


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="calibrated bundle")
    parser.add_argument("data", type=Path, metavar="DATA", help="folder of labelled parts")
    parser.add_argument(
        "--repeats",
        type=int,
        metavar="K",
        help=f"showings of each stored image (default: {REPEATS})",
    )
    parser.add_argument(
        "--confidence",
        type=float,
        default=0.95,
        help="confidence of the bounds (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the order (default: %(default)s)"
    )
    add_inspector_arguments(parser)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="folder for the files")
    parser.add_argument("--json", action="store_true", help="print the record as JSON")


def run(args: argparse.Namespace) -> int:
    """Studies and reports."""
    plan = read_plan(args.data, args.repeats)
    bundle = args.bundle.resolve()
    out = args.out or bundle.with_name(f"{bundle.name}-acceptance") / plan.data_set / args.recipe
    total = len(plan.parts) * plan.repeats
    with (
        open_inspector(args, bundle) as inspector,
        tqdm(total=total, desc="show", unit="image", file=sys.stderr, disable=None) as bar,
    ):
        result, pictures = study(
            inspector,
            plan,
            engine=inspector.engine_name,
            confidence=args.confidence,
            seed=args.seed,
            report=bar.update,
        )
    write_acceptance_report(out / "acceptance.html", result, pictures)
    write_text(out / "acceptance.json", result.model_dump_json(indent=2) + "\n")
    lines = [result.model_dump_json(indent=2)] if args.json else describe(result, out)
    print("\n".join(lines))
    return UNACCEPTABLE if result.agreement.grade is Grade.UNACCEPTABLE else 0


def describe(result: AcceptanceStudy, out: Path) -> list[str]:
    """Returns the study as text."""
    lines = [
        statement(result),
        *(
            f"  {row.name:<22} {row.value:>7}  {row.grade:<12}  {row.basis}"
            for row in figure_rows(result.agreement)
        ),
        proof(result.agreement),
        *classification_lines(result.classification, "showings"),
    ]
    lines += [f"note: {remark}" for remark in result.remarks]
    for part in result.disagreeing:
        verdicts = " ".join(showing.verdict.value for showing in part.showings)
        lines.append(f"  {part.name}: {verdicts}")
    return [*lines, f"report: {out / 'acceptance.html'}"]
