"""A trigger by `linewarden trigger`, or another program, through the control socket."""

from __future__ import annotations

import time
from typing import Literal

from edge.encoder import Encoder
from edge.trigger.base import FiredConfig, Firing


class SoftwareTriggerConfig(FiredConfig):
    """Takes triggers of `linewarden trigger`, or another program, through the control socket."""

    kind: Literal["software"]

    def driver(self, _encoder: Encoder | None) -> SoftwareTrigger:
        """Returns the trigger, not yet opened."""
        return SoftwareTrigger()


class SoftwareTrigger:
    """Announces nothing by itself; `edge.pipeline.pipeline.Pipeline.fire` does."""

    def open(self) -> None:
        """Does nothing: there is no connection."""

    def wait(self, timeout_s: float) -> Firing | None:
        """Returns None after `timeout_s`."""
        time.sleep(timeout_s)
        return None

    def close(self) -> None:
        """Does nothing: there is no connection."""
