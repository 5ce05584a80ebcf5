"""Records as flat tables: text for a terminal, CSV, JSON lines, Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from edge.part.record import InspectionRecord, Told
from edge.store.reader import StoredRecord
from edge.store.rows import COLUMNS, IDENTITY
from inspection.digits import comparable
from inspection.errors import RecordsError
from inspection.files import new_file

_PARQUET_ROWS = 10_000
_TIMES = frozenset({"triggered_utc"})
_NUMBERS = frozenset({"score", "deadline_ms", "threshold", "threshold_review", "threshold_pixel"})
_INTEGERS = frozenset({"recipe_number"})
_LISTS = ("images", "told")

_HEAD = ("triggered", "trigger", "part", "recipe", "verdict", "score", "threshold", "ms", "label")
_ROW = "{:<23}  {:<15}  {:<12}  {:<10}  {:<22}  {:>9}  {:>9}  {:>8}  {}"

HEADER = (*COLUMNS, *IDENTITY, *_LISTS, "label")


def flat(stored: StoredRecord) -> dict[str, Any]:
    """One row of a table, as JSON values; lists are joined by semicolons."""
    values = stored.record.model_dump(mode="json")
    latency = values.pop("latency_ms")
    values |= {f"{stage}_ms": duration for stage, duration in latency.items()}
    values["told"] = [_told(one) for one in stored.record.told]
    values |= {name: "; ".join(values[name]) for name in _LISTS}
    values["label"] = stored.label
    return {name: values[name] for name in HEADER}


def _told(told: Told) -> str:
    return f"{told.output}: {told.error if told.verdict is None else told.verdict.value}"


def write_table(records: Iterable[StoredRecord], stream: TextIO) -> None:
    """Writes the main columns as text, with local times."""
    stream.write(_ROW.format(*_HEAD).rstrip() + "\n")
    for stored in records:
        stream.write(_ROW.format(*_cells(stored)).rstrip() + "\n")


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
        *_score_and_threshold(record),
        f"{record.latency_ms.total:.1f}",
        stored.label or "",
    )


def _score_and_threshold(record: InspectionRecord) -> tuple[str, ...]:
    if record.score is None:
        return "-", *comparable(record.threshold)
    return comparable(record.score, record.threshold)


def write_csv(records: Iterable[StoredRecord], stream: TextIO) -> None:
    """RFC 4180 with a header; an unknown value is empty."""
    writer = csv.DictWriter(stream, HEADER)
    writer.writeheader()
    writer.writerows(map(flat, records))


def write_json_lines(records: Iterable[StoredRecord], stream: TextIO) -> None:
    """Writes the records as the outputs send them, with "label"."""
    for stored in records:
        values = stored.record.model_dump(mode="json")
        stream.write(json.dumps({**values, "label": stored.label}) + "\n")


TEXT_FORMATS: dict[str, Callable[[Iterable[StoredRecord], TextIO], None]] = {
    "table": write_table,
    "csv": write_csv,
    "jsonl": write_json_lines,
}


def write_parquet(records: Iterable[StoredRecord], path: Path) -> None:
    """Writes a Parquet file, which appears when it is complete.

    Raises:
        RecordsError: pyarrow is not installed.
        OSError: the file cannot be written.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - only when it is asked for
        from pyarrow import parquet  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise RecordsError(
            "Parquet needs the package pyarrow, and it is not installed: "
            "pip install 'linewarden[parquet]'"
        ) from error
    schema = pa.schema([(name, _parquet_type(pa, name)) for name in HEADER])
    rows = iter(records)
    with new_file(path) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
        while block := list(islice(rows, _PARQUET_ROWS)):
            writer.write_table(pa.Table.from_pylist(list(_typed(block)), schema=schema))


def _typed(records: Iterable[StoredRecord]) -> Iterator[dict[str, Any]]:
    for stored in records:
        yield {**flat(stored), "triggered_utc": stored.record.triggered_utc}


def _parquet_type(pa: Any, name: str) -> Any:
    if name in _TIMES:
        return pa.timestamp("us", tz="UTC")
    if name in _INTEGERS:
        return pa.int64()
    return pa.float64() if name in _NUMBERS or name.endswith("_ms") else pa.string()
