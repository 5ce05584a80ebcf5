"""A line needs only the packages of the outputs in its configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.packaging.test_imports import run_without

PACKAGES = {"paho", "pymodbus", "asyncua", "gpiod", "httpx", "snap7"}
SETTINGS = {
    "ethernet_ip": '"host": "plc", "tag": "Verdict"',
    "gpio": '"chip": "/dev/gpiochip0", "lines": {"pass": "A", "reject": "B"}',
    "modbus": '"host": "plc"',
    "modbus_server": '"host": "0.0.0.0"',
    "mqtt": '"host": "broker", "topic": "plant/line3", "client_id": "station"',
    "opcua": '"host": "0.0.0.0"',
    "s7": '"host": "plc", "db": 100',
    "webhook": '"url": "http://plant/verdicts"',
}
NEEDED = [
    ("gpio", "gpiod", "gpio"),
    ("modbus", "pymodbus", "modbus"),
    ("modbus_server", "pymodbus", "modbus"),
    ("mqtt", "paho", "mqtt"),
    ("opcua", "asyncua", "opcua"),
    ("s7", "snap7", "s7"),
    ("webhook", "httpx", "webhook"),
]
MAKE = """
from pydantic import TypeAdapter
from edge.line.outputs_config import OutputConfig, output_from_config
config = TypeAdapter(OutputConfig).validate_python({%s})
"""


def test_every_kind_of_peer_is_configured_without_its_package() -> None:
    code = """
import edge.encoder, edge.recipe.request.config, edge.trigger.config
from edge.line.outputs_config import OUTPUTS
print(sorted(OUTPUTS))
"""
    result = run_without(PACKAGES, code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == str(sorted({*SETTINGS, "jsonlines"}))


def test_ethernet_ip_needs_no_package() -> None:
    code = MAKE % f'"kind": "ethernet_ip", {SETTINGS["ethernet_ip"]}'
    result = run_without(PACKAGES, code + "output_from_config(config).close()\n")
    assert result.returncode == 0, result.stderr


def test_json_lines_open_without_the_packages_of_other_outputs(tmp_path: Path) -> None:
    code = MAKE % f'"kind": "jsonlines", "path": "{tmp_path}/parts.jsonl"'
    code += "output = output_from_config(config)\noutput.open()\noutput.close()\n"
    result = run_without(PACKAGES, code)
    assert result.returncode == 0, result.stderr


def test_json_lines_load_no_package_of_other_outputs(tmp_path: Path) -> None:
    code = MAKE % f'"kind": "jsonlines", "path": "{tmp_path}/parts.jsonl"'
    code += "output_from_config(config).open()\n"
    code += f"print(sorted({PACKAGES!r} & set(sys.modules)))\n"
    result = run_without(set(), code)
    assert result.stdout.strip() == "[]", result.stderr


@pytest.mark.parametrize(("kind", "package", "extra"), NEEDED)
def test_an_output_names_its_missing_package(kind: str, package: str, extra: str) -> None:
    code = MAKE % f'"kind": "{kind}", {SETTINGS[kind]}'
    result = run_without({package}, code + "output_from_config(config)\n")
    assert (
        f"LineError: output {kind!r} needs the package {package}, and it is not installed: "
        f"pip install 'linewarden[{extra}]'"
    ) in result.stderr
