"""The base of all configuration models; without YAML, because records in JSON hold some of them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class StrictModel(BaseModel):
    """Base of all configuration models; refuses unknown keys, NaN and infinity.

    Attributes:
        moved_keys: keys of older versions, and what takes their place, for the refusal.
    """

    moved_keys: ClassVar[Mapping[str, str]] = MappingProxyType({})

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,  # a traceback prints them
        protected_namespaces=(),
    )
