"""Draws the handshake as a timing diagram, from the signals that the station's half returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from typing import Any

from edge.line.base import StationState
from edge.line.handshake import Bits, Handshake
from edge.part.record import InspectionRecord
from inspection.verdict import Cause, Verdict

LEFT, STEP, ROW, HEIGHT, TOP = 150, 44, 34, 20, 46
STATION, PLC, PAPER, INK, PALE = "#1f5fa8", "#b3541e", "#ffffff", "#1c1c1c", "#d9d9d9"

FIRST = 41  # number of the last verdict before the diagram begins


@dataclass
class _Course:
    """One moment per column: the bits and numbers of both sides."""

    ticks: list[dict[str, int]] = field(default_factory=list)
    notes: dict[int, str] = field(default_factory=dict)

    def tick(self, note: str = "", **values: int) -> None:
        """Adds a moment; what is not given stays."""
        before = self.ticks[-1] if self.ticks else {}
        if note:
            self.notes[len(self.ticks)] = note
        self.ticks.append(before | values)


def _course() -> _Course:
    shake = Handshake(acknowledged=True, hold_ms=0.0, sequence=FIRST)
    course = _Course()

    def shown(note: str = "", **values: int) -> None:
        bits = shake.signals.bits
        station = {bit.name or "": int(bit in bits) for bit in Bits}
        course.tick(note, **station, number=shake.signals.sequence, **values)

    def heartbeat() -> None:
        shake.show(StationState.READY)
        shown()

    def part(record: InspectionRecord, note: str, *, then: Callable[[], None]) -> None:
        number = shake.signals.sequence + 1
        course.tick("part", TRIGGER=1)
        shown()
        shake.result(record)
        shown(note)
        course.tick("acknowledge", acknowledge=number)
        shake.takes(number)
        shown("taken back", TRIGGER=0)
        then()

    shown("safe", acknowledge=FIRST, TRIGGER=0)
    shake.show(StationState.READY)
    shown("READY")
    part(_record(Verdict.PASS), "PASS", then=heartbeat)
    part(_record(Verdict.REJECT), "REJECT", then=heartbeat)
    part(_record(Verdict.NO_VERDICT), "not judged", then=lambda: None)
    shake.show(StationState.FAULT)
    shown("FAULT")
    shown()
    return course


def _record(verdict: Verdict) -> InspectionRecord:
    cause = Cause.DEADLINE if verdict is Verdict.NO_VERDICT else None
    needed: dict[str, Any] = {"verdict": verdict, "cause": cause, "trigger_id": "x"}
    return InspectionRecord.model_construct(**needed)


def diagram() -> str:
    """Returns the SVG."""
    course = _course()
    rows = [
        *(("PLC: trigger", "TRIGGER", PLC), ("PLC: acknowledge", "acknowledge", PLC)),
        *(("READY", "READY", STATION), ("RESULT_VALID", "RESULT_VALID", STATION)),
        *(("PASS", "PASS", STATION), ("REJECT", "REJECT", STATION)),
        *(("NO_VERDICT", "NO_VERDICT", STATION), ("number", "number", STATION)),
        *(("FAULT", "FAULT", STATION), ("HEARTBEAT", "HEARTBEAT", STATION)),
    ]
    width = LEFT + STEP * len(course.ticks) + 16
    height = TOP + ROW * len(rows) + 34
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        "<title>Handshake between the station and a PLC</title>",
        f'<rect width="{width}" height="{height}" fill="{PAPER}"/>',
    ]
    for at, note in course.notes.items():
        x = LEFT + STEP * at
        parts.append(_line(f"M{x} {TOP - 8}V{TOP + ROW * len(rows)}", PALE, 1))
        above = 14 if at % 2 else 30
        parts.append(_text(x, above, note, INK, "middle"))
    for place, (name, key, colour) in enumerate(rows):
        base = TOP + ROW * place + HEIGHT + 6
        parts.append(_text(LEFT - 12, base - 5, name, colour, "end"))
        values = [tick[key] for tick in course.ticks]
        is_number = key in ("number", "acknowledge")
        parts += _numbers(values, base, colour) if is_number else [_levels(values, base, colour)]
    foot = TOP + ROW * len(rows) + 22
    legend = "blue: the station writes; brown: the PLC writes. The number is that of the verdict."
    parts.append(_text(LEFT, foot, legend, INK, "start"))
    return "\n".join([*parts, "</svg>\n"])


def _levels(values: list[int], base: int, colour: str) -> str:
    path = f"M{LEFT} {base - HEIGHT * values[0]}"
    for place, value in enumerate(values):
        path += f"V{base - HEIGHT * value}H{LEFT + STEP * (place + 1)}"
    return _line(path, colour, 2)


def _numbers(values: list[int], base: int, colour: str) -> list[str]:
    parts, first = [], 0
    for place in range(1, len(values) + 1):
        if place < len(values) and values[place] == values[first]:
            continue
        left, right, top = LEFT + STEP * first, LEFT + STEP * place, base - HEIGHT
        middle = base - HEIGHT // 2
        path = f"M{left} {middle}L{left + 5} {top}H{right - 5}L{right} {middle}L{right - 5} {base}"
        parts.append(_line(f"{path}H{left + 5}Z", colour, 1.5))
        parts.append(_text((left + right) / 2, base - 5, str(values[first]), colour, "middle"))
        first = place
    return parts


def _line(path: str, colour: str, width: float) -> str:
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def _text(x: float, y: float, text: str, colour: str, anchor: str) -> str:
    place = f'x="{x:g}" y="{y:g}" fill="{colour}" text-anchor="{anchor}"'
    return f"<text {place}>{escape(text)}</text>"
