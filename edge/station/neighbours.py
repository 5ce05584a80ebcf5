"""Lines on one device that claim the same thing."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

from edge.station.config import LineConfig
from inspection.config.claims import all_claims, collisions
from inspection.config.flaws import dotted


def shared_with(config: LineConfig, neighbours: Mapping[str, LineConfig]) -> list[str]:
    """Returns what a line has in common with others of the device and only one may have.

    Args:
        neighbours: the other lines by name.
    """
    return [
        f"{dotted(flaw.keys)}: {flaw.told(f'{dotted(flaw.other or ())} of {name}')}"
        for name, other in neighbours.items()
        for flaw in collisions(product(all_claims(other), all_claims(config)))
    ]
