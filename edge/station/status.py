"""The state of a running line: pipeline, recipe, alarms, records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from edge.drift.monitor import DriftAlarm
from edge.pipeline.status import PipelineStatus
from edge.recipe.changeover import RecipeStatus
from edge.recipe.part_check import CheckStatus
from edge.station.alarm import RejectAlarm
from edge.store.station_records import RecordsStatus
from inspection.bundle.calibration_file import RecipeIdentity


@dataclass(frozen=True)
class StationStatus:
    """The state of a running line at one moment. Alarms and records do not change its readiness.

    Attributes:
        identities: the recipe, artefact and thresholds behind the verdicts of each view.
        check: of reference parts; None where none is configured.
        rejects: present alarms after parts that did not pass, by kind.
        drift: present drift alarms by view, the likely cause first.
        records: None where none are kept.
    """

    pipeline: PipelineStatus
    recipe: RecipeStatus
    identities: Mapping[str, RecipeIdentity] = field(default_factory=dict)
    check: CheckStatus | None = None
    rejects: Mapping[str, RejectAlarm] = field(default_factory=dict)
    drift: Mapping[str, tuple[DriftAlarm, ...]] = field(default_factory=dict)
    records: RecordsStatus | None = None

    @property
    def alarms(self) -> tuple[str, ...]:
        """The messages of the present alarms."""
        drift = [f"view {view}: {alarm}" for view, found in self.drift.items() for alarm in found]
        records = self.records.alarms if self.records is not None else ()
        return (*(alarm.message for alarm in self.rejects.values()), *drift, *records)

    def as_json(self) -> dict[str, Any]:
        """Returns the state as JSON values."""
        return {
            "pipeline": asdict(self.pipeline),
            "recipe": asdict(self.recipe),
            "identities": {view: asdict(one) for view, one in self.identities.items()},
            "check": asdict(self.check) if self.check is not None else None,
            "alarms": list(self.alarms),
            "records": asdict(self.records) if self.records is not None else None,
        }
