"""Runs a line: cameras to PLC, a daemon on the device. Never imports torch.

`from edge import Inspector` gives `inspection.Inspector`, as notebooks have it from earlier days.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import inspection

if TYPE_CHECKING:
    from inspection.inspector import Inspection, Inspector

__all__ = ["Inspection", "Inspector"]


def __getattr__(name: str) -> Any:
    """Load the public names on first use: importing a submodule stays cheap."""
    if name in __all__:
        return getattr(inspection, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
