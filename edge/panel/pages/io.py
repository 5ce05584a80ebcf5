"""I/O: every bit, word, topic and node of a line as it was last written or read; the test pulse."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from edge.line.outputs_config import output_names
from edge.panel.access.roles import Role
from edge.panel.command import linewarden
from edge.panel.page import Page, Route, Visit
from edge.panel.refusals import Refused
from edge.station.pulse import SIGNALS, WITH_BITS
from inspection.errors import LineError

_PULSE_MS = (200, 500, 2000)
_SHOWN_AS = {True: "1", False: "0", None: "–"}


def _io(visit: Visit) -> Response:
    return visit.render(
        **_signals(visit),
        signals_path=f"/lines/{visit.line.name}/io/signals",
        pulse_path=f"/lines/{visit.line.name}/io/pulse",
        outputs=_testable(visit),
        bits=list(SIGNALS),
        milliseconds=_PULSE_MS,
    )


def _signals_alone(visit: Visit) -> Response:
    return visit.render("io_signals.html", **_signals(visit))


def _signals(visit: Visit) -> dict[str, Any]:
    """Returns the drivers with their signals, or why the line does not answer."""
    try:
        told = visit.line.ask("signals", within_s=1.0)["signals"]
        outputs = visit.line.ask("state", within_s=1.0)["pipeline"]["outputs"]
    except LineError as error:
        return {"drivers": [], "silence": str(error)}
    names = [*outputs, *(name for name in told if name not in outputs)]
    drivers = [
        {
            "name": name,
            "state": outputs.get(name),
            "signals": [_shown(visit, one) for one in told.get(name, [])],
        }
        for name in names
    ]
    return {"drivers": drivers, "silence": ""}


def _shown(visit: Visit, signal: dict[str, Any]) -> dict[str, Any]:
    value, age_ms = signal["value"], signal["age_ms"]
    is_bit = isinstance(value, bool)
    return {
        **signal,
        "text": _SHOWN_AS[value] if is_bit or value is None else str(value),
        "is_on": value is True,
        "meaning": visit.texts(f"signal.{signal['name']}"),
        "age": "–" if age_ms is None else visit.texts("io.seconds", count=f"{age_ms / 1e3:.1f}"),
    }


def _testable(visit: Visit) -> list[str]:
    """Returns the names of the outputs with bits that a pulse can test."""
    outputs = visit.line.config.outputs
    return [
        name
        for name, output in zip(output_names(outputs), outputs, strict=True)
        if output.kind in WITH_BITS
    ]


def _pulse(visit: Visit) -> Response:
    """Runs the command, which refuses while the line runs, and ends in the safe state."""
    output, bit, given_ms = visit.field("output"), visit.field("signal"), visit.field("ms")
    for name, value, known in (
        ("output", output, _testable(visit)),
        ("signal", bit, SIGNALS),
        ("ms", given_ms, [str(one) for one in _PULSE_MS]),
    ):
        if value not in known:
            raise Refused(400, "problem.field", name=name)
    config = f"--config={visit.line.path.absolute()}"
    with visit.change("io_pulse", f"{output} {bit}, {given_ms} ms"):
        linewarden("line", "pulse", config, f"--output={output}", f"--ms={given_ms}", bit)
    return visit.back(f"/lines/{visit.line.name}/io")


PAGE = Page(
    "io",
    (
        Route("/lines/{line}/io", _io),
        Route("/lines/{line}/io/signals", _signals_alone),
        Route("/lines/{line}/io/pulse", _pulse, role=Role.ENGINEER, changes=True),
    ),
)
