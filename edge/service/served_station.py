"""A line with its health page, where its configuration asks for one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from edge.part.record import InspectionRecord
from edge.pipeline.status import PipelineStatus
from edge.station.assembly import Station, open_station
from edge.station.config import HealthConfig, LineConfig
from inspection.config.plugins import Plugin, load_plugin
from inspection.errors import ConfigError

if TYPE_CHECKING:
    from edge.service.health import Health

_PAGES = {"health": Plugin("edge.service.health", "Health", "pip install 'linewarden[health]'")}


@contextlib.contextmanager
def open_served_station(
    config: LineConfig,
    on_record: Callable[[InspectionRecord], None],
    *,
    on_turn: Callable[[PipelineStatus], None] | None = None,
    waits_to_open: bool = False,
) -> Iterator[Station]:
    """What `open_station` gives, with the health page served while it is open.

    Raises:
        ConfigError: the health page cannot be served.
        LinewardenError: see `open_station`.
    """
    options: dict[str, Any] = {"on_turn": on_turn, "waits_to_open": waits_to_open}
    if config.health is None:
        with open_station(config, on_record, **options) as station:
            yield station
        return
    health = _health(config, config.health)

    def observe(record: InspectionRecord) -> None:
        health.observe(record)
        on_record(record)

    with open_station(config, observe, **options) as station, health.serving(station.status):
        yield station


def _health(config: LineConfig, page: HealthConfig) -> Health:
    """The health page, not yet served."""
    factory = load_plugin("page", "health", _PAGES, ConfigError)
    health: Health = factory(host=page.host, port=page.port, outputs=_output_names(config))
    return health


def _output_names(config: LineConfig) -> list[str]:
    """A name for each output: its kind, with its place where there are two of a kind."""
    kinds = [output.kind for output in config.outputs]
    return [
        kind if kinds.count(kind) == 1 else f"{kind}-{place}"
        for place, kind in enumerate(kinds, start=1)
    ]
