"""Options that several commands share."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path

from inspection.bundle import REFERENCE_ARTEFACT, Bundle, open_bundle
from inspection.engine import THREADS_MAX, TritonServer
from inspection.errors import ConfigError
from inspection.images import NameExpression
from inspection.inspector import Inspector


def add_line_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the configuration of a line."""
    parser.add_argument(
        "--config", required=True, type=Path, metavar="FILE", help="YAML file of the line"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="replace a setting of the file, such as camera.rate_hz=5; may be repeated",
    )


def add_inspector_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the recipe of a bundle and the engine that runs it."""
    parser.add_argument("--recipe", default="default", help="name or number (default: %(default)s)")
    parser.add_argument(
        "--engine",
        help="engine (default: the choice of linewarden build, else that of the artefact)",
    )
    parser.add_argument(
        "--artefact",
        help="file of the bundle to run "
        f"(default: the choice of linewarden build, else {REFERENCE_ARTEFACT})",
    )
    parser.add_argument(
        "--threads", type=thread_count, help="threads of the engine (default: all cores)"
    )
    add_server_argument(parser)


def add_server_argument(parser: argparse.ArgumentParser) -> None:
    """Declares the server of the engine `triton`."""
    parser.add_argument(
        "--server",
        type=Path,
        metavar="FILE",
        help="YAML file for --engine triton, with the keys below engine.server of a line",
    )


def server_of(args: argparse.Namespace, bundle: Bundle) -> TritonServer | None:
    """Reads the file of `add_server_argument`.

    Raises:
        ConfigError: it is wrong, or given for another engine.
        LineError: a certificate, the key or the token cannot be read.
    """
    if args.server is None:
        return None
    if args.engine != "triton":
        raise ConfigError("--server is for --engine triton: give both, or neither")
    # YAML and the rooms of a line are for this option alone: a command without it starts sooner.
    from linewarden.triton_server import read_server  # noqa: PLC0415

    return read_server(args.server, bundle.manifest.name)


def thread_count(text: str) -> int:
    """Returns a number of threads; argparse names it when it is not one."""
    return whole_number(text, 1, THREADS_MAX)


def whole_number(text: str, lowest: int, highest: int) -> int:
    """Returns a number in a range; argparse names it when it is not one."""
    try:
        number = int(text)
    except ValueError:
        number = None
    if number is None or not lowest <= number <= highest:
        raise argparse.ArgumentTypeError(f"{text}: give a whole number from {lowest} to {highest}")
    return number


def open_inspector(args: argparse.Namespace, bundle: Path | Bundle) -> Inspector:
    """Opens the inspector that the options of `add_inspector_arguments` describe."""
    if not isinstance(bundle, Bundle):
        bundle = open_bundle(bundle)
    return Inspector.open(
        bundle,
        args.recipe,
        engine=args.engine,
        artefact=args.artefact,
        threads=args.threads,
        server=server_of(args, bundle),
    )


def add_rate_argument(parser: argparse.ArgumentParser) -> None:
    """Declares the false reject rate that a calibration promises."""
    parser.add_argument(
        "--false-reject-rate",
        type=float,
        default=0.01,
        metavar="RATE",
        help="share of good parts that may be rejected (default: %(default)s)",
    )


def add_part_name_argument(parser: argparse.ArgumentParser) -> None:
    """Declares the name of the part that an image shows."""
    parser.add_argument(
        "--part-name",
        metavar="REGEX",
        help="names the part of an image in its file name, for parts with several images",
    )


def part_name_of(args: argparse.Namespace) -> NameExpression | None:
    """Returns the expression of `add_part_name_argument`; None where every image is another part.

    Raises:
        ConfigError: it is not a regular expression.
    """
    return NameExpression("--part-name", args.part_name) if args.part_name else None


def add_size_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options that choose the size of a model's input."""
    parser.add_argument(
        "--smallest-defect-px",
        type=float,
        metavar="PX",
        help="smallest defect that matters, in pixels of the frame: the input shows it",
    )
    parser.add_argument(
        "--budget-ms",
        type=float,
        metavar="MS",
        help="most time of the backbone for one image on this machine: the input may shrink",
    )


def refuse_sizes_out_of_range(args: argparse.Namespace) -> None:
    """Raises ConfigError for a value of `add_size_arguments` that is not above 0."""
    for name in ("smallest-defect-px", "budget-ms"):
        refuse_not_above_0(name, getattr(args, name.replace("-", "_")))


def refuse_not_above_0(name: str, value: float | None) -> None:
    """Raises ConfigError for a value of an option that is not a number above 0."""
    if value is not None and not 0 < value < math.inf:
        raise ConfigError(f"--{name} {value:g}: must be above 0")


def add_author_argument(parser: argparse.ArgumentParser) -> None:
    """Declares the person who acts."""
    parser.add_argument(
        "--author",
        default=os.environ.get("USER", ""),
        help="your name, for the history (default: the user name)",
    )
