"""Writes what docs/guides/plc.md has from the code: the tables, and the diagram of the handshake.

python -m studies.plc_guide
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from edge.line.block import BLOCK_WORDS, CAUSE_MEANINGS, CAUSES, FIELDS
from edge.line.handshake import MEANINGS, Bits
from edge.recipe.request.plc import STATUS_WORDS
from inspection.files import write_text
from linewarden.parser import Parser
from studies.plc_pages.diagram import diagram

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "docs/guides/plc.md"
DIAGRAM = ROOT / "docs/images/handshake.svg"

_REGION = re.compile(r"(<!-- from the code: ([a-z ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def block_table() -> str:
    """Returns the words of the block, and where each protocol has them."""
    rows = []
    for field in FIELDS:
        last = field.first + field.words - 1
        registers, bytes_, elements = (
            _span("{}", field.first, last),
            _span("{}", 2 * field.first, 2 * last + 1),
            _span("[{}]", field.first, last),
        )
        rows.append((registers, registers, bytes_, elements, f"**{field.name}**", field.meaning))
    heads = ("word", "Modbus: register +", "S7: byte +", "EtherNet/IP: DINT", "name", "meaning")
    return _table(heads, rows)


def bit_table() -> str:
    """Returns the bits of the status word, and where each protocol has them."""
    rows = []
    for bit in Bits:
        place = bit.bit_length() - 1
        byte = 1 - place // 8  # the high byte comes first
        address = f"DBX{byte}.{place % 8}"
        rows.append(
            (place, f"0x{bit:04X}", address, f"[0].{place}", f"**{bit.name}**", MEANINGS[bit])
        )
    heads = ("bit", "mask", "S7: with `start_byte: 0`", "EtherNet/IP", "name", "meaning")
    return _table(heads, rows)


def cause_table() -> str:
    """Returns the numbers of the causes."""
    rows = [
        (number, f"`{cause.value}`", CAUSE_MEANINGS[cause])
        for number, cause in enumerate(CAUSES, start=1)
    ]
    return _table(("number", "in records", "meaning"), rows)


def size_table() -> str:
    """Returns how much of the PLC each part of a line takes."""
    rows = [
        (
            "output: block",
            f"{BLOCK_WORDS} registers",
            f"{2 * BLOCK_WORDS} bytes",
            f"DINT[{BLOCK_WORDS}]",
            "station writes",
        ),
        ("output: acknowledge", "1 register", "2 bytes", "DINT", "PLC writes"),
        (
            "trigger",
            "1 register or coil",
            "2 bytes, or 1 bit",
            "DINT, INT, SINT or BOOL",
            "PLC writes",
        ),
        (
            "trigger: part id",
            "`part_id_registers`, 8",
            "STRING[`part_id_length`], 34 bytes for 32",
            "STRING",
            "PLC writes, before the trigger",
        ),
        ("recipe: request", "1 register", "2 bytes", "DINT", "PLC writes"),
        (
            "recipe: status",
            f"{STATUS_WORDS} registers",
            f"{2 * STATUS_WORDS} bytes",
            f"DINT[{STATUS_WORDS}]",
            "station writes",
        ),
    ]
    return _table(("use", "Modbus", "S7", "EtherNet/IP", "direction"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "block": block_table,
    "bits": bit_table,
    "causes": cause_table,
    "places": size_table,
}


def with_tables(page: str) -> str:
    """Returns the page with its regions from the code."""
    return _REGION.sub(lambda region: f"{region[1]}\n{TABLES[region[2]]()}\n{region[3]}", page)


def _span(form: str, first: int, last: int) -> str:
    return form.format(first) if first == last else f"{form.format(first)} to {form.format(last)}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def main() -> int:
    """Writes the page and the diagram."""
    Parser(prog="python -m studies.plc_guide", description=__doc__).parse_args()
    write_text(GUIDE, with_tables(GUIDE.read_text()))
    write_text(DIAGRAM, diagram())
    return 0


if __name__ == "__main__":
    sys.exit(main())
