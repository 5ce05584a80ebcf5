"""The parts of the panel that all pages share."""

from __future__ import annotations

from dataclasses import dataclass

from argon2 import PasswordHasher
from jinja2 import Environment

from edge.panel.access.accounts import Accounts
from edge.panel.access.login_limit import LoginLimit
from edge.panel.access.sessions import Sessions
from edge.panel.audit import AuditLog
from edge.panel.config import PanelConfig
from edge.panel.database import PanelDatabase
from edge.panel.feed import Feeds
from edge.panel.jobs import Jobs
from edge.panel.lines import PanelLine
from edge.panel.rendering import environment
from edge.panel.review.data_sets import DataSets
from edge.panel.review.nearest import NearestGood
from edge.panel.review.threshold_preview import ThresholdPreviews
from edge.panel.sensitivity.calibrations import Calibrations
from edge.panel.teach import Teaching
from edge.panel.thumbnails import Thumbnails


@dataclass(frozen=True)
class Panel:
    """The parts, which live as long as the process.

    Attributes:
        lines: by name, in the order of the configuration.
        templates: with the filters of `edge.panel.rendering`.
    """

    config: PanelConfig
    database: PanelDatabase
    accounts: Accounts
    sessions: Sessions
    logins: LoginLimit
    audit: AuditLog
    lines: dict[str, PanelLine]
    feeds: Feeds
    thumbnails: Thumbnails
    nearest: NearestGood
    previews: ThresholdPreviews
    data_sets: DataSets
    calibrations: Calibrations
    templates: Environment
    jobs: Jobs
    teach: Teaching


def open_panel(config: PanelConfig, hasher: PasswordHasher | None = None) -> Panel:
    """Opens the panel's files, and makes the first admin where nobody has an account.

    Args:
        hasher: of passwords; see `Accounts`.

    Raises:
        RecordsError: the files cannot be opened.
    """
    database = PanelDatabase(config.folder)
    accounts = Accounts(database, hasher)
    accounts.make_first()
    lines = {name: PanelLine(name, path) for name, path in config.lines.items()}
    thumbnails = Thumbnails(config.folder / "thumbnails", config.thumbnails_max_bytes)
    return Panel(
        config=config,
        database=database,
        accounts=accounts,
        sessions=Sessions(database, config.session_hours),
        logins=LoginLimit(),
        audit=AuditLog(database),
        lines=lines,
        feeds=Feeds(lines, config.streams_max),
        thumbnails=thumbnails,
        nearest=NearestGood(thumbnails),
        previews=ThresholdPreviews(),
        data_sets=DataSets(config.data_sets, config.teach.min_free_bytes),
        calibrations=Calibrations(),
        templates=environment(),
        jobs=Jobs(config.folder / "jobs", wakes=config.jobs == "process"),
        teach=Teaching.below(config.folder / "teach", config.teach.min_free_bytes),
    )
