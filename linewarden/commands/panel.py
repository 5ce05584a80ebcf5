"""Serve the web pages of the lines on this device: live view, review, health, audit log.

The panel reads the records and images of the lines, and talks to a running line through its
`control_socket`. The inspection does not depend on it.

At the first start nobody has an account: the panel makes one named admin, and writes its
one-time password to standard error (under systemd: to the journal). --new-password gives any
account a new one-time password; it works beside a running panel.

examples:
  linewarden panel --config panel.yaml
  linewarden panel --config panel.yaml --set port=9700
  linewarden panel --config panel.yaml --new-password admin

files:
  configs/panel/panel.yaml   an example with every key ('linewarden example panel' prints it)
"""

from __future__ import annotations

import argparse
import contextlib
import logging
from pathlib import Path

from edge.panel.access.accounts import Accounts, one_time_password
from edge.panel.config import PanelConfig
from edge.panel.database import PanelDatabase
from edge.panel.refusals import Refused
from edge.panel.server import serve
from edge.service import logs
from edge.service.daemon import Notifier
from inspection.config.loading import load_config
from inspection.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="YAML file")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="replace one setting"
    )
    parser.add_argument(
        "--new-password", metavar="NAME", help="give an account a one-time password, and end"
    )


def run(args: argparse.Namespace) -> int:
    """Serves until a signal ends it."""
    logs.configure(logging.WARNING)
    config = load_config(args.config, PanelConfig, args.set, files=True)
    if args.new_password is None:
        with contextlib.closing(Notifier.from_environment()) as systemd:
            serve(config, when_ready=lambda: systemd.send(READY=1))
        return 0
    password = one_time_password()
    with contextlib.closing(PanelDatabase(config.folder)) as database:
        try:
            Accounts(database).set_password(args.new_password, password, is_one_time=True)
        except Refused as error:
            raise ConfigError(f"--new-password: no account {args.new_password!r}") from error
    print(f"one-time password of {args.new_password}: {password}")
    return 0
