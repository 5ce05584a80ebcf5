"""I/O: the signals that a line tells, with their meanings, and the test pulse."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from edge.line.gpio_lines import GATE
from edge.line.handshake import MEANINGS, Bits
from edge.line.signals import block_signals
from edge.panel.services import Panel
from edge.panel.texts import texts_of
from tests.doubles.panel import Browser, TalkingLine

PAGE = "/lines/line/io"


def told(name: str, value: Any, **changes: Any) -> dict[str, Any]:
    signal = {"name": name, "address": "register 0", "value": value, "is_input": False}
    return {**signal, "age_ms": 1234.0, **changes}


def rows(text: str) -> list[list[str]]:
    found = re.findall(r"<tr>(.*?)</tr>", text, re.DOTALL)
    cells = [re.findall(r"<span[^>]*>(.*?)</span>", row, re.DOTALL) for row in found]
    return [row for row in cells if row]


def add_modbus(line_file: Path) -> None:
    """Adds an output to a port where nothing listens."""
    text = line_file.read_text()
    line_file.write_text(f"{text}  - {{kind: modbus, host: 127.0.0.1, port: 1}}\n")


def test_the_signals_are_shown_with_their_meaning(panel: Panel, line: TalkingLine) -> None:
    line.signals = {
        "plc": [
            told("READY", True),
            told("PASS", False),
            told("acknowledge", 7, is_input=True),
            told("cause", None, age_ms=None),
        ]
    }
    text = Browser(panel).log_in("viewer").get(PAGE).text
    ready = "the station takes the next part: trigger only while it is set"
    assert rows(text)[0] == ["READY", "1", "register 0", ready, "writes", "1.2 s"]
    assert [row[1] for row in rows(text)] == ["1", "0", "7", "–"]
    assert rows(text)[2][4] == "reads"
    assert "✔ works" in text
    assert f'action="{PAGE}/pulse"' not in text  # a viewer sets nothing


def test_a_dead_output_is_shown_as_dead(panel: Panel, line: TalkingLine) -> None:
    line.state["pipeline"]["outputs"]["plc"] = {"is_up": False, "why": "no answer within 500 ms"}
    line.signals = {"plc": [told("READY", True)]}
    text = Browser(panel).log_in("viewer").get(f"{PAGE}/signals").text
    assert "✖ does not work" in text
    assert "no answer within 500 ms. The values below are the last ones that it took." in text


def test_the_page_is_there_without_a_line(panel: Panel) -> None:
    answer = Browser(panel).log_in("engineer").get(PAGE)
    assert answer.status_code == 200
    assert "no answer" in answer.text
    assert "No output of this line has bits to test." in answer.text


def test_a_pulse_of_what_is_not_there_is_refused(panel: Panel, line_file: Path) -> None:
    add_modbus(line_file)
    engineer = Browser(panel).log_in("engineer")
    good = {"output": "modbus", "signal": "PASS", "ms": "200"}
    for wrong in (
        {"output": "jsonlines"},
        {"output": "--set"},
        {"signal": "HEARTBEAT"},
        {"signal": "BUSY"},
        {"ms": "1e9"},
    ):
        assert engineer.post(f"{PAGE}/pulse", {**good, **wrong}).status_code == 400, wrong
    assert not panel.audit.entries()
    answer = engineer.post(f"{PAGE}/pulse", good)
    assert answer.status_code == 503
    assert "modbus 127.0.0.1:1: cannot be opened" in answer.text
    (entry,) = panel.audit.entries()
    assert entry.change.subject == "modbus PASS, 200 ms"
    assert "cannot be opened" in (entry.failure or "")


def test_a_pulse_beside_a_running_line_is_refused(
    panel: Panel, line_file: Path, line: TalkingLine
) -> None:
    add_modbus(line_file)
    form = {"output": "modbus", "signal": "PASS", "ms": "200"}
    answer = Browser(panel).log_in("engineer").post(f"{PAGE}/pulse", form)
    assert answer.status_code == 503
    assert "the line runs and holds its outputs; stop it first" in answer.text


def test_the_bits_mean_what_the_guide_says() -> None:
    texts = texts_of("en")
    names = [signal.name for signal in block_signals(None, lambda _word, _bit: "")]
    assert len(names) == len(Bits) + 3
    missing = [name for name in (*names, "acknowledge", GATE) if f"signal.{name}" not in texts]
    assert missing == []
    for bit, meaning in MEANINGS.items():
        assert texts[f"signal.{bit.name}"] == meaning
