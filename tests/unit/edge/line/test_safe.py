"""The safe state while no line runs: lines inactive, the gate shut, parts left on their way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gpiod")

from edge.line import GpioConfig
from edge.line.belt import BeltClock
from edge.line.safe import make_safe
from inspection.errors import LineError
from tests.doubles.line_peers import LINES, Pins


@pytest.fixture
def pins(monkeypatch: pytest.MonkeyPatch) -> Pins:
    pins = Pins()
    monkeypatch.setattr("gpiod.request_lines", pins.request_lines)
    return pins


def output(**gate: Any) -> GpioConfig:
    settings = {"kind": "gpio", "chip": "/dev/gpiochip0", "lines": LINES, "gate": gate}
    return GpioConfig.model_validate(settings)


@pytest.mark.parametrize("travel", [{"travel_counts": 50}, {"travel_ms": 1500.0}])
def test_the_safe_state_moves_no_gate_and_needs_no_encoder(
    pins: Pins, travel: dict[str, float]
) -> None:
    make_safe([output(**travel)])
    assert set(pins.settings) == set(LINES.values())
    assert pins.is_released
    assert not any(on for _, values in pins.history for on in values.values())


def test_parts_on_their_way_stay_for_the_next_process(pins: Pins, tmp_path: Path) -> None:
    register = tmp_path / "register"
    entry = f"a {json.dumps([BeltClock().epoch, 0, True])}\n"  # long past the gate
    register.write_text(entry)
    make_safe([output(travel_ms=1500.0, register_file=register)])
    assert register.read_text() == entry
    assert not any(values["GATE"] for _, values in pins.history)


def test_an_output_that_cannot_be_reached_is_named(pins: Pins) -> None:
    pins.error = OSError(16, "Device or resource busy")
    with pytest.raises(LineError, match="not in the safe state: gpio /dev/gpiochip0: the lines"):
        make_safe([output(travel_ms=1500.0)])
