"""Opens a line with the health page of its configuration."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from edge.part.record import InspectionRecord
from edge.pipeline.status import PipelineStatus
from edge.station.assembly import Station, open_station
from edge.station.config import HealthConfig, LineConfig
from inspection.config.plugins import Plugin, load_plugin
from inspection.errors import ConfigError

if TYPE_CHECKING:
    from edge.service.health import HealthPage

_PAGES = {"health": Plugin("edge.service.health", "HealthPage", "pip install 'linewarden[health]'")}


@contextlib.contextmanager
def open_served_station(
    config: LineConfig,
    on_record: Callable[[InspectionRecord], None],
    *,
    on_turn: Callable[[PipelineStatus], None] | None = None,
    waits_to_open: bool = False,
) -> Iterator[Station]:
    """Opens a station, and serves the health page while it is open.

    Raises:
        ConfigError: the health page cannot be served.
        LinewardenError: as `open_station`.
    """
    page = _health_page(config.health) if config.health is not None else None

    def observe(record: InspectionRecord) -> None:
        if page is not None:
            page.observe(record)
        on_record(record)

    with contextlib.ExitStack() as opened:
        station = opened.enter_context(
            open_station(config, observe, on_turn=on_turn, waits_to_open=waits_to_open)
        )
        if page is not None:
            opened.enter_context(page.serving(station.status))
        yield station


def _health_page(health: HealthConfig) -> HealthPage:
    factory = load_plugin("page", "health", _PAGES, ConfigError)
    page: HealthPage = factory(host=health.host, port=health.port)
    return page
