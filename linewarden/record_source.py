"""The options that select records of a line, and the folder of the records."""

from __future__ import annotations

import argparse
from datetime import datetime, time, timezone, tzinfo
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from edge.station.config import LineConfig
from edge.store.reader import Filter
from inspection.config.loading import load_config
from inspection.errors import ConfigError, RecordsError
from inspection.verdict import Cause, Verdict


class Source(NamedTuple):
    """The folder of the records, and the shifts of the line."""

    folder: Path
    shifts: dict[str, time]
    zone: tzinfo | None


def add_filter_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options that select records."""
    parser.add_argument(
        "--since", type=_moment, metavar="TIME", help="triggered at this time or later"
    )
    parser.add_argument("--until", type=_moment, metavar="TIME", help="triggered before this time")
    for option, words in (("verdict", [*Verdict]), ("cause", [*Cause])):
        values = [word.value for word in words]
        parser.add_argument(
            f"--{option}",
            nargs="+",
            default=[],
            choices=values,
            metavar=option.upper(),
            help=f"only these: {', '.join(values)}",
        )
    parser.add_argument("--recipe", metavar="NAME", help="recipe whose thresholds were in force")
    parser.add_argument(
        "--recipe-number",
        type=int,
        metavar="N",
        help="number of the recipe on the line, as a PLC sends it",
    )
    parser.add_argument("--part", metavar="ID", help="id of the part on the line")
    parser.add_argument("--trigger", metavar="ID", help="id of one record")
    parser.add_argument("--min-score", type=float, metavar="SCORE", help="lowest raw score")
    parser.add_argument("--max-score", type=float, metavar="SCORE", help="highest raw score")
    parser.add_argument(
        "--label", help="label that holds: good, the name of a defect, undecided, disputed"
    )
    parser.add_argument(
        "--labelled",
        action=argparse.BooleanOptionalAction,
        help="only records with a label, or only records without one",
    )


def filter_from_arguments(args: argparse.Namespace) -> Filter:
    """Returns the filter that the options of `add_filter_arguments` describe."""
    return Filter(
        since=args.since,
        until=args.until,
        verdicts=tuple(map(Verdict, args.verdict)),
        causes=tuple(map(Cause, args.cause)),
        recipe=args.recipe,
        recipe_numbers=() if args.recipe_number is None else (args.recipe_number,),
        part_id=args.part,
        trigger_id=args.trigger,
        min_score=args.min_score,
        max_score=args.max_score,
        label=args.label,
        is_labelled=args.labelled,
    )


def find_records(path: Path) -> Source:
    """Returns the records in a folder, or those of a line by its configuration.

    Raises:
        ConfigError: the configuration is wrong, or keeps no records.
    """
    if path.is_dir():
        return Source(path, {}, None)
    if not path.exists():
        raise RecordsError(f"{path}: no such folder of records or YAML file of a line")
    config = load_config(path, LineConfig).records
    if config is None:
        raise ConfigError(f"{path}: has no section 'records', so that the line keeps none")
    zone = ZoneInfo(config.time_zone) if config.time_zone is not None else None
    return Source(config.folder, config.shifts, zone)


def _moment(text: str) -> datetime:
    """Parses a time; raises ArgumentTypeError for anything else."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time; write 2026-11-21 or 2026-11-21T06:00"
        ) from error
    return moment.astimezone(timezone.utc)
