"""Texts of a configuration that hold a secret, and never print it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from inspection.redaction import HIDDEN, redacted_pipeline, redacted_value

REVEALED: Mapping[str, bool] = {"reveal": True}
"""Context of a `model_dump_json` that is read back, and not shown."""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)(.*)")
_PORT = re.compile(r"(?:\[[^\]]*\]|[^:]*)(?::(\d*))?")

T = TypeVar("T", bound="SecretText")


def hidden_problem(message: str) -> PydanticCustomError:
    """Returns the error to raise for a value that its message must not quote."""
    return PydanticCustomError("hidden", "{what}", {"what": message})


class SecretText:
    """Text that prints as `***`: str, repr, JSON, errors of the configuration.

    Compares by its text. `model_dump_json(context=REVEALED)` writes the text itself.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = self._checked(text)

    def reveal(self) -> str:
        """Returns the text, for the library that connects with it, and for nothing that prints."""
        return self._text

    def __str__(self) -> str:
        return HIDDEN

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretText) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    @classmethod
    def _checked(cls, text: str) -> str:
        """Returns the text; raises a `hidden_problem` when it is unusable."""
        return text

    @classmethod
    def _from_input(cls: type[T], value: Any) -> T:
        if isinstance(value, cls):
            return value
        if not isinstance(value, str):
            raise hidden_problem("should be text")
        return cls(value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validates text, and serializes it hidden."""
        return core_schema.no_info_plain_validator_function(
            cls._from_input,
            serialization=core_schema.plain_serializer_function_ser_schema(
                _dumped, info_arg=True, when_used="json"
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Returns the schema for editors, without an example."""
        return {"type": "string", "writeOnly": True}


class SecretUrl(SecretText):
    """An address that may hold user and password; it prints without its secrets.

    The host must begin behind the last `@`, so that every reader of the address finds the same
    user, password and host in it: with `rtsp://user:pa/ss@host` they do not.
    """

    __slots__ = ()

    def __str__(self) -> str:
        return redacted_value(self._text)

    @classmethod
    def _checked(cls, text: str) -> str:
        parts = _ADDRESS.fullmatch(text)
        if parts is None or not text.isprintable() or " " in text:
            raise hidden_problem(
                "should be an address like scheme://host/path, without spaces; in a password write "
                "%20 for a space"
            )
        authority, behind = parts.groups()
        if "@" in behind:
            raise hidden_problem(
                "has an @ behind the host; in a password write %2F for /, %3F for ? and %23 for #, "
                "and elsewhere %40 for @"
            )
        port = _PORT.fullmatch(authority.rpartition("@")[2])
        if port is None or int(port[1] or 0) > 65535:
            raise hidden_problem(
                "should have a port from 0 to 65535, or none, behind the host; in a user or "
                "password write %2F for /, %3F for ? and %23 for #"
            )
        return text


class SecretPipeline(SecretText):
    """A pipeline for gst-launch; it prints without passwords and the secrets of its addresses."""

    __slots__ = ()

    def __str__(self) -> str:
        return redacted_pipeline(self._text)


def _dumped(value: SecretText, info: core_schema.SerializationInfo) -> str:
    return value.reveal() if (info.context or {}).get("reveal") else str(value)
