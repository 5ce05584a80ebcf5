"""List the records of a line, count them by recipe and shift, and label parts.

RECORDS is the folder of the records, or the YAML file of the line, which names it and
the shifts. A line that runs is not disturbed. Times are ISO 8601, as 2026-11-21 or
2026-11-21T06:00; without an offset they are the device's local time.

`label` notes what a person says of a part: a false reject is `good`, an escape is the
name of its defect. `linewarden dataset from-records` makes a folder to train on or to
calibrate with.

examples:
  linewarden records list configs/line/replay.yaml --limit 20
  linewarden records list records/flange --verdict REJECT NO_VERDICT --since 2026-11-21
  linewarden records list records/flange --format csv --out november.csv
  linewarden records list records/flange --format parquet --out november.parquet
  linewarden records counters configs/line/replay.yaml --since 2026-11-21
  linewarden records label records/flange 3f9a2c1d-000017 good --note 'only dust'
  linewarden records label records/flange 3f9a2c1d-000020 scratch
  linewarden records outbox records/flange
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator
from datetime import datetime, time, timezone, tzinfo
from pathlib import Path
from typing import NamedTuple, TextIO
from zoneinfo import ZoneInfo

from edge.station.config import LineConfig
from edge.store.reader import (
    GOOD,
    Count,
    Filter,
    RecordReader,
    StoredRecord,
    add_label,
    empty_outbox,
)
from edge.store.tables import TEXT_FORMATS, write_parquet
from inspection.config.loading import load_config
from inspection.errors import ConfigError, RecordsError
from inspection.files import new_file
from inspection.verdict import Cause, Verdict

_HEAD = ("triggered", "trigger", "part", "recipe", "verdict", "score", "threshold", "ms", "label")
_ROW = "{:<23}  {:<15}  {:<12}  {:<10}  {:<22}  {:>9}  {:>9}  {:>8}  {}"
_COUNT_ROW = "{:<16}  {:<8}  {:<10}  {:>7}  {:>7}  {:>7}  {:>7}  {:>10}  {}"


class Source(NamedTuple):
    """Where the records are, and how the line counts its shifts."""

    folder: Path
    shifts: dict[str, time]
    zone: tzinfo | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = _action(actions, "list", "records as a table, CSV, JSON lines or Parquet")
    add_filter_arguments(listing)
    listing.add_argument("--limit", type=_positive, metavar="N", help="only the newest N")
    listing.add_argument(
        "--format", choices=("table", *TEXT_FORMATS, "parquet"), default="table", help="%(choices)s"
    )
    listing.add_argument(
        "--out", type=Path, metavar="FILE", help="write there, not to standard output"
    )
    counters = _action(actions, "counters", "parts by recipe and shift")
    add_filter_arguments(counters)
    counters.add_argument("--json", action="store_true", help="one JSON object per row")
    label = _action(actions, "label", "note what a person says of a part")
    label.add_argument("trigger_id", metavar="ID", help="trigger id of the record")
    label.add_argument("label", metavar="LABEL", help="good, or the name of the defect")
    label.add_argument("--author", default=os.environ.get("USER", ""), help="who says it")
    label.add_argument("--note", default="", metavar="TEXT", help="why")
    outbox = _action(actions, "outbox", "verdicts that wait for each output")
    outbox.add_argument(
        "--drop",
        metavar="OUTPUT",
        help="give up those that wait for an output; the line is stopped",
    )


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, summary: str
) -> argparse.ArgumentParser:
    action = actions.add_parser(name, help=summary, description=summary)
    action.add_argument("records", type=Path, metavar="RECORDS", help="folder, or YAML of the line")
    return action


def add_filter_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that choose records."""
    parser.add_argument("--since", type=_moment, metavar="TIME", help="triggered then or later")
    parser.add_argument("--until", type=_moment, metavar="TIME", help="triggered before then")
    parser.add_argument("--verdict", nargs="+", default=[], type=Verdict, metavar="VERDICT")
    parser.add_argument("--cause", nargs="+", default=[], type=Cause, metavar="CAUSE")
    parser.add_argument("--recipe", metavar="NAME", help="whose thresholds judged")
    parser.add_argument(
        "--recipe-number", type=int, metavar="N", help="of the line, as a PLC asks for it"
    )
    parser.add_argument("--part", metavar="ID", help="what the line calls the part")
    parser.add_argument("--trigger", metavar="ID", help="one record")
    parser.add_argument("--min-score", type=float, metavar="SCORE", help="raw score from there on")
    parser.add_argument("--max-score", type=float, metavar="SCORE", help="raw score up to there")
    parser.add_argument("--label", help="good, or the name of a defect")
    parser.add_argument(
        "--labelled",
        action=argparse.BooleanOptionalAction,
        help="only records with a label, or only those without",
    )


def filter_from_arguments(args: argparse.Namespace) -> Filter:
    """The filter that the options of `add_filter_arguments` describe."""
    return Filter(
        since=args.since,
        until=args.until,
        verdicts=tuple(args.verdict),
        causes=tuple(args.cause),
        recipe=args.recipe,
        recipe_number=args.recipe_number,
        part_id=args.part,
        trigger_id=args.trigger,
        min_score=args.min_score,
        max_score=args.max_score,
        label=args.label,
        is_labelled=args.labelled,
    )


def find_records(path: Path) -> Source:
    """The records in a folder, or of a line's configuration.

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


def run(args: argparse.Namespace) -> int:
    """Do one of the actions."""
    source = find_records(args.records)
    if args.action == "list":
        _list(args, source)
    elif args.action == "counters":
        _count(args, source)
    elif args.action == "label":
        label = _label(args.label)
        add_label(source.folder, args.trigger_id, label, author=args.author, note=args.note)
        print(f"{args.trigger_id}: {label}")
    else:
        _outbox(args, source)
    return 0


def _list(args: argparse.Namespace, source: Source) -> None:
    if args.format == "parquet" and args.out is None:
        raise ConfigError("--format parquet needs --out FILE")
    with RecordReader(source.folder) as reader:
        records = _found(reader, filter_from_arguments(args), args.limit)
        if args.out is None:
            _write_text(records, args.format)
            return
        try:
            if args.format == "parquet":
                write_parquet(records, args.out)
            else:
                with new_file(args.out) as temporary, temporary.open("w", newline="") as stream:
                    _write_text(records, args.format, stream)
        except OSError as error:
            raise RecordsError(f"{args.out}: cannot be written ({error.strerror})") from error
    print(f"written to {args.out}")


def _found(reader: RecordReader, which: Filter, limit: int | None) -> Iterator[StoredRecord]:
    """By time; the newest ones where there is a limit."""
    if limit is None:
        return reader.find(which)
    return iter(list(reader.find(which, limit=limit, newest_first=True))[::-1])


def _write_text(records: Iterator[StoredRecord], kind: str, stream: TextIO | None = None) -> None:
    stream = stream or sys.stdout
    if kind in TEXT_FORMATS:
        TEXT_FORMATS[kind](records, stream)
        return
    print(_ROW.format(*_HEAD).rstrip(), file=stream)
    for stored in records:
        print(_ROW.format(*_cells(stored)).rstrip(), file=stream)


def _cells(stored: StoredRecord) -> tuple[str, ...]:
    record = stored.record
    number = record.recipe_number
    outcome = record.verdict.value if record.cause is None else f"NO_VERDICT {record.cause.value}"
    return (
        f"{record.triggered_utc.astimezone():%Y-%m-%d %H:%M:%S.%f}"[:-3],
        record.trigger_id,
        record.part_id or "-",
        record.recipe if number is None else f"{number} {record.recipe}",
        outcome,
        "-" if record.score is None else f"{record.score:.4g}",
        f"{record.threshold:.4g}",
        f"{record.latency_ms.total:.1f}",
        stored.label or "",
    )


def _count(args: argparse.Namespace, source: Source) -> None:
    with RecordReader(source.folder) as reader:
        counts = list(reader.count(filter_from_arguments(args), source.shifts, source.zone))
    if args.json:
        for count in counts:
            print(json.dumps(_figures(count)))
        return
    verdicts = [verdict.value for verdict in Verdict]
    print(_COUNT_ROW.format("from", "shift", "recipe", "parts", *verdicts, "").rstrip())
    for count in counts:
        start = f"{count.shift.start.astimezone(source.zone):%Y-%m-%d %H:%M}"
        parts = sum(count.verdicts.values())
        causes = ", ".join(f"{number} {cause.value}" for cause, number in count.causes.items())
        cells = (start, count.shift.name, count.recipe, parts, *count.verdicts.values(), causes)
        print(_COUNT_ROW.format(*cells).rstrip())


def _figures(count: Count) -> dict[str, object]:
    return {
        "shift": count.shift.name,
        "start_utc": count.shift.start.isoformat(),
        "end_utc": count.shift.end.isoformat(),
        "recipe": count.recipe,
        "verdicts": {verdict.value: number for verdict, number in count.verdicts.items()},
        "causes": {cause.value: number for cause, number in count.causes.items()},
    }


def _outbox(args: argparse.Namespace, source: Source) -> None:
    if args.drop is not None:
        dropped = empty_outbox(source.folder, args.drop)
        print(f"{args.drop}: {dropped} verdicts will not be sent; their records stay")
        return
    with RecordReader(source.folder) as reader:
        waiting = reader.waiting()
    for output, those in waiting.items():
        print(f"{those.count:>8}  since {those.since.astimezone():%Y-%m-%d %H:%M:%S}  {output}")
    if not waiting:
        print("nothing waits")


def _label(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][\w.-]*", text) is None:
        raise ConfigError(
            f"label {text!r}: give {GOOD!r} or the name of a defect, which can name a folder: "
            "letters, digits, '_', '-', '.'"
        )
    return text


def _moment(text: str) -> datetime:
    """A time of the command line; ArgumentTypeError when it is none."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time; write 2026-11-21 or 2026-11-21T06:00"
        ) from error
    return moment.astimezone(timezone.utc)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("should be 1 or more")
    return number
