"""The line as a service: what it tells systemd, Prometheus and the journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge.errors import ConfigError
from edge.line_config import LineConfig
from edge.plugins import Plugin, load_plugin

if TYPE_CHECKING:
    from edge.service.health import Health
    from edge.stages.views import View

_PAGES = {"health": Plugin("edge.service.health", "Health", "pip install 'linewarden[health]'")}


def health_from_config(config: LineConfig, views: Sequence[View]) -> Health | None:
    """The health page of a line, not yet served; None where it has none.

    Raises:
        ConfigError: what it needs is not installed.
    """
    if config.health is None:
        return None
    factory = load_plugin("page", "health", _PAGES, ConfigError)
    health: Health = factory(
        host=config.health.host,
        port=config.health.port,
        identities=lambda: {view.name: view.inspector.identity for view in views},
        outputs=_output_names(config),
    )
    return health


def _output_names(config: LineConfig) -> list[str]:
    """A name for each output: its kind, with its place where there are two of a kind."""
    kinds = [output.kind for output in config.outputs]
    return [
        kind if kinds.count(kind) == 1 else f"{kind}-{place}"
        for place, kind in enumerate(kinds, start=1)
    ]
