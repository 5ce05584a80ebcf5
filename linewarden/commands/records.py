"""List the records of a line, count them by recipe and shift, label parts, recover them.

RECORDS is the folder of the records, or the YAML file of the line, which also has the
shifts. The command does not disturb a running line. Times are ISO 8601, such as
2026-11-21 or 2026-11-21T06:00; without an offset they are local time.

`label` keeps the judgement of a person: `good` for a false reject, the name of the defect
for an escape, `undecided` for neither. A part about which two people differ is `disputed`
until one more labels it. `linewarden dataset from-records` makes a folder for training or
calibration from labelled parts.

`troubles` lists what was wrong with the line, with begin and end: why it took no part, outputs
that it did not reach, alarms. The newest 5000 are kept.

`recover` saves what can be read of a damaged database: those that a line set aside in its
folder, else the one that is there, else a file that you name. They stay as they are.

examples:
  linewarden records list configs/line/replay.yaml --limit 20
  linewarden records list records/flange --verdict REJECT NO_VERDICT --since 2026-11-21
  linewarden records list records/flange --format csv --out november.csv
  linewarden records list records/flange --format parquet --out november.parquet
  linewarden records counters configs/line/replay.yaml --since 2026-11-21
  linewarden records label records/flange 3f9a2c1d-000017 good --note 'only dust'
  linewarden records label records/flange 3f9a2c1d-000020 scratch
  linewarden records troubles records/flange --limit 20
  linewarden records outbox records/flange
  linewarden records recover records/flange --to recovered
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from edge.store.damage import damaged_files
from edge.store.database import FILE_NAME
from edge.store.labels import add_label
from edge.store.reader import (
    Count,
    Filter,
    RecordReader,
    StoredRecord,
    empty_outbox,
)
from edge.store.recovery import LOST, recover
from edge.store.station_records import IMAGES_NAME
from edge.store.tables import TEXT_FORMATS, write_parquet
from edge.store.troubles import KEPT
from inspection.errors import ConfigError, RecordsError
from inspection.files import new_file
from inspection.verdict import Verdict
from linewarden.options import add_author_argument
from linewarden.parser import Actions
from linewarden.record_source import (
    Source,
    add_filter_arguments,
    filter_from_arguments,
    find_records,
)

_COUNT_ROW = "{:<16}  {:<8}  {:<10}  {:>7}  {:>7}  {:>7}  {:>7}  {:>10}  {}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the actions and their options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = _action(actions, "list", "records as a table, CSV, JSON lines or Parquet")
    add_filter_arguments(listing)
    listing.add_argument("--limit", type=_positive, metavar="N", help="list only the newest N")
    listing.add_argument(
        "--format", choices=(*TEXT_FORMATS, "parquet"), default="table", help="%(choices)s"
    )
    listing.add_argument(
        "--out", type=Path, metavar="FILE", help="write to this file, not to standard output"
    )
    counters = _action(actions, "counters", "parts by recipe and shift")
    add_filter_arguments(counters)
    counters.add_argument("--json", action="store_true", help="one JSON object per row")
    label = _action(actions, "label", "note the judgement of a person")
    label.add_argument("trigger_id", metavar="ID", help="trigger id of the record")
    label.add_argument("label", metavar="LABEL", help="good, the name of the defect, or undecided")
    add_author_argument(label)
    label.add_argument("--note", default="", metavar="TEXT", help="reason")
    troubles = _action(actions, "troubles", "what was wrong with the line, and when")
    troubles.add_argument(
        "--limit", type=_positive, default=KEPT, metavar="N", help="list only the newest N"
    )
    outbox = _action(actions, "outbox", "verdicts that wait for each output")
    recovery = _action(actions, "recover", "save what can be read of a damaged database")
    recovery.add_argument(
        "--to", type=Path, required=True, metavar="FOLDER", help="new folder of records"
    )
    outbox.add_argument(
        "--drop",
        metavar="OUTPUT",
        help="drop the verdicts that wait for an output; stop the line first",
    )


def _action(actions: Actions, name: str, summary: str) -> argparse.ArgumentParser:
    action = actions.add_parser(name, help=summary, description=summary)
    action.add_argument("records", type=Path, metavar="RECORDS", help="folder, or YAML of the line")
    return action


def run(args: argparse.Namespace) -> int:
    """Does one of the actions."""
    if args.action == "recover":
        _recover(args)
        return 0
    source = find_records(args.records)
    if args.action == "list":
        _list(args, source)
    elif args.action == "counters":
        _count(args, source)
    elif args.action == "label":
        add_label(source.folder, args.trigger_id, args.label, author=args.author, note=args.note)
        print(f"{args.trigger_id}: {args.label}")
    elif args.action == "troubles":
        _troubles(args, source)
    else:
        _outbox(args, source)
    return 0


def _list(args: argparse.Namespace, source: Source) -> None:
    if args.format == "parquet" and args.out is None:
        raise ConfigError("--format parquet needs --out FILE")
    with RecordReader(source.folder) as reader:
        records = _found(reader, filter_from_arguments(args), args.limit)
        if args.out is None:
            TEXT_FORMATS[args.format](records, sys.stdout)
            return
        try:
            if args.format == "parquet":
                write_parquet(records, args.out)
            else:
                with (
                    new_file(args.out) as temporary,
                    temporary.open("w", encoding="utf-8", newline="") as stream,
                ):
                    TEXT_FORMATS[args.format](records, stream)
        except OSError as error:
            raise RecordsError(f"{args.out}: cannot be written ({error.strerror})") from error
    print(f"written to {args.out}")


def _found(reader: RecordReader, which: Filter, limit: int | None) -> Iterator[StoredRecord]:
    """Finds records in the order of time; with a limit, the newest ones."""
    if limit is None:
        return reader.find(which)
    return iter(list(reader.find(which, limit=limit, newest_first=True))[::-1])


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


def _troubles(args: argparse.Namespace, source: Source) -> None:
    with RecordReader(source.folder) as reader:
        found = reader.troubles(args.limit)
    for one in reversed(found):
        ended = "no end seen" if one.ended_utc is None else _local(one.ended_utc)
        print(f"{_local(one.begun_utc)}  {ended:<19}  {one.kind:<7}  {one.message}")
    if not found:
        print("no trouble was seen")


def _local(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def _outbox(args: argparse.Namespace, source: Source) -> None:
    if args.drop is not None:
        dropped = empty_outbox(source.folder, args.drop)
        print(f"{args.drop}: {dropped} verdicts will not be sent; their records stay")
        return
    with RecordReader(source.folder) as reader:
        waiting = reader.waiting()
    for output, those in waiting.items():
        print(f"{those.count:>8}  since {_local(those.since)}  {output}")
    if not waiting:
        print("no verdict waits")


def _recover(args: argparse.Namespace) -> None:
    database = args.records.with_name(args.records.name.removesuffix("-wal"))
    if database.suffix == ".sqlite":
        folder, sources = database.parent, [database]
    else:
        folder = find_records(args.records).folder
        sources = damaged_files(folder) or [folder / FILE_NAME]
    done = recover(sources, args.to, folder / IMAGES_NAME)
    print(f"{args.to}: {done.records} records and {done.labels} labels saved")
    if done.missing:
        print(f"{done.missing} records between the first and the last cannot be read")
    if done.without_identity:
        print(
            f"{done.without_identity} records have lost recipe and thresholds: their recipe is "
            f"{LOST!r}, and their threshold says nothing"
        )
    for output, count in done.waiting.items():
        print(f"{count} verdicts were perhaps not sent to {output}")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("should be 1 or more")
    return number
