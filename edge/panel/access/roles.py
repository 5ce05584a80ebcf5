"""The roles of people at the panel; each may do everything that those before it may."""

from __future__ import annotations

from enum import Enum


class Role(str, Enum):
    """A role. The viewer changes nothing; the admin also manages accounts."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ENGINEER = "engineer"
    ADMIN = "admin"

    def may(self, needed: Role) -> bool:
        """Returns whether this role includes the needed one."""
        order = list(Role)
        return order.index(self) >= order.index(needed)
