"""This machine vouches for records that it did not make."""

from __future__ import annotations

from contextlib import suppress

from inspection.bundle.bundle import Bundle
from inspection.engine.cpu_record import verified_record, write_record
from inspection.engine.sidecar import verified_plan, write_sidecar
from inspection.errors import BundleError, ConfigError
from inspection.files import write_text
from inspection.trust.keys import Keys


def adopt(bundle: Bundle) -> list[str]:
    """Vouches for what devices add to a bundle, where this machine does not trust it yet.

    That is calibrations, plans, and the records of processors.

    Returns:
        The files that were adopted.

    Raises:
        ConfigError: this machine has no key.
        BundleError: one of them is damaged.
    """
    if bundle.keys.device is None:
        raise ConfigError("this machine has no key to vouch with: linewarden bundle device-key")
    with bundle.locked():
        adopted = [name for name in bundle.calibrations() if _adopt_calibration(bundle, name)]
        adopted += [name for name in bundle.plans() if _adopt_plan(bundle, name)]
        adopted += [name for name in bundle.cpu_records() if _adopt_record(bundle, name)]
    return adopted


def _adopt_calibration(bundle: Bundle, name: str) -> bool:
    path = bundle.folder / name
    mend = "it is not adopted; calibrate again"
    with suppress(BundleError):
        bundle.read_calibration(path, mend)
        return False
    found = Bundle(bundle.folder, bundle.manifest, Keys()).read_calibration(path, mend)
    write_text(path, bundle.keys.vouched(found).model_dump_json(indent=2) + "\n")
    return True


def _adopt_plan(bundle: Bundle, name: str) -> bool:
    with suppress(BundleError):
        bundle.file(name)
        return False
    found = verified_plan(bundle.folder, name, bundle.manifest.files, Keys())
    write_sidecar(bundle.folder / name, found, bundle.keys)
    return True


def _adopt_record(bundle: Bundle, name: str) -> bool:
    with suppress(BundleError):
        bundle.cpu_record(name)
        return False
    found = verified_record(bundle.folder, name, bundle.manifest.files, Keys())
    write_record(bundle.folder / name, found, bundle.keys)
    return True
