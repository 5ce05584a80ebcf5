"""Makes a calibration the active one of its recipe, with author, reason and time of the change."""

from __future__ import annotations

from datetime import datetime, timezone

from inspection.bundle import Bundle
from inspection.bundle.calibration_file import Calibration
from inspection.errors import ConfigError


def activate(
    bundle: Bundle,
    calibration: Calibration,
    *,
    author: str,
    reason: str,
    replaces: str | None = None,
) -> Calibration:
    """Activates a calibration as a new entry of the history; returns it with its seal.

    Args:
        replaces: seal of the calibration that the new one was made from or compared with, "" when
            there was none; None for one that depends on no other.

    Raises:
        BundleError: another calibration than `replaces` is active, or the artefact of the bundle is
            not the one of the calibration.
    """
    renewed = {
        "created_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "author": author,
        "reason": reason,
    }
    bundle.add_calibration(calibration.model_copy(update=renewed), replaces=replaces)
    return bundle.calibration(calibration.recipe, calibration.artefact)


def require_reason(reason: str, change: str) -> None:
    """Refuses a change without a reason.

    Args:
        change: the change, as the subject of the message.

    Raises:
        ConfigError: there is no reason.
    """
    if not reason.strip():
        raise ConfigError(f"{change} needs a reason: give it with --reason TEXT")
