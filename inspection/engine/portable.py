"""The record of a portable plan: an engine that was built for cards that were not there.

TensorRT for RTX builds on any x86-64 machine, without a GPU. The files are in the manifest::

    BUNDLE/model.fp16.rtx.plan          the plan; the manifest names it with engine "tensorrt-rtx"
    BUNDLE/model.fp16.rtx.plan.json     this record
    BUNDLE/model.fp16.rtx.layers.json   the layers, as built

The manifest has the SHA-256 of all three, so that a signature covers them. A device runs none of
them before `linewarden build --verify` has compared it with the checkpoint there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from inspection.engine.rtx_cards import RTX_CARDS
from inspection.engine.sidecar import PORTABLE, BuildSettings, Platform
from inspection.errors import EngineError
from inspection.trust.sealed import Sealed, Sha256, read_sealed


class PortablePlan(Sealed):
    """The record beside a portable plan.

    Attributes:
        artefact: file of the bundle that the plan was built from.
        cards: names in `RTX_CARDS`.
        tensorrt_rtx: version of the library that built it, and that must run it.
    """

    schema_version: Literal[1] = 1
    linewarden_version: str
    built_utc: str
    plan_sha256: Sha256
    plan_bytes: int
    artefact: str
    artefact_sha256: Sha256
    precision: str
    cards: tuple[str, ...]
    tensorrt_rtx: str
    settings: BuildSettings


def portable_name(precision: str) -> str:
    """Returns the name of the portable plan of a precision in a bundle."""
    return f"model.{precision}{PORTABLE}"


def record_name(plan: str) -> str:
    """Returns the name of the record of a portable plan."""
    return f"{plan}.json"


def layers_name(plan: str) -> str:
    """Returns the name of the list of layers of a portable plan."""
    return f"{plan.removesuffix('.plan')}.layers.json"


def read_portable(plan: Path) -> PortablePlan:
    """Reads the record of a portable plan; raises BundleError when it does not verify."""
    return read_sealed(plan.with_name(record_name(plan.name)), PortablePlan, _mend(plan))


def require_fits(plan: Path, record: PortablePlan, here: Platform) -> None:
    """Refuses a plan that was not built for this card or for the library here.

    Raises:
        EngineError: the message names every difference.
    """
    differences = []
    capabilities = [RTX_CARDS.get(card, "unknown") for card in record.cards]
    if here.compute_capability not in capabilities:
        differences.append(
            f"cards: built for {', '.join(record.cards)} (compute capability "
            f"{', '.join(capabilities)}), here {here.device} ({here.compute_capability})"
        )
    if record.tensorrt_rtx != here.tensorrt:
        differences.append(f"TensorRT for RTX: built {record.tensorrt_rtx}, here {here.tensorrt}")
    if differences:
        raise EngineError(
            f"{plan}: does not fit this machine ({'; '.join(differences)}): {_mend(plan)}"
        )


def _mend(plan: Path) -> str:
    return f"linewarden build {plan.parent} --for CARD, with the library of the device"
