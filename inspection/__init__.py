"""Judges one frame: bundle, engine, preprocessing, verdict. Never imports torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inspection.inspector import Inspection, Inspector

__all__ = ["Inspection", "Inspector"]


def __getattr__(name: str) -> Any:
    """Loads the public names on first use, so that importing a submodule stays cheap."""
    if name in __all__:
        from inspection import inspector  # noqa: PLC0415 - the point of this function

        return getattr(inspector, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
