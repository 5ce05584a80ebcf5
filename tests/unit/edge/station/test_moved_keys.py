"""A configuration of an older version is answered with the keys of this one."""

from pathlib import Path

import pytest

from edge.line.gpio import GpioConfig
from edge.station.config import LineConfig
from inspection.config.loading import load_config
from inspection.errors import ConfigError

OLD = """\
bundle: bundle
camera: {kind: replay, path: parts}
archive: {folder: images, max_bytes: 2000}
outputs:
  - kind: gpio
    chip: /dev/gpiochip0
    lines: {pass: A, reject: B, gate: C}
    gate_delay_ms: 1500
    gate_pulse_ms: 100
"""


def test_a_moved_key_is_answered_with_what_takes_its_place(tmp_path: Path) -> None:
    path = tmp_path / "line.yaml"
    path.write_text(OLD)
    with pytest.raises(ConfigError) as refused:
        load_config(path, LineConfig)
    archive = "records: {folder: ..., images: {keep: ..., max_bytes: ...}}"
    delay, pulse = "gate: {travel_ms: ...}", "gate: {pulse_ms: ...}"
    old = "is a key of an older version; write"
    assert str(refused.value).replace(f"{path}:", "").splitlines() == [
        f"3: archive: {old} {archive} instead",
        f"8: outputs.0.gate_delay_ms: {old} {delay} instead, which counts from the trigger",
        f"9: outputs.0.gate_pulse_ms: {old} {pulse} instead",
    ]


@pytest.mark.parametrize("model", [LineConfig, GpioConfig])
def test_no_key_of_this_version_is_said_to_be_old(
    model: type[LineConfig] | type[GpioConfig],
) -> None:
    assert model.moved_keys
    assert not model.moved_keys.keys() & model.model_fields.keys()
