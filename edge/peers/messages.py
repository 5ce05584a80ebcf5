"""Messages of peers: JSON of bounded size and depth, checked by strict models."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import from_json

MESSAGE_MAX_BYTES = 4096
NAME_MAX = 128

M = TypeVar("M", bound="Message")

_PROBLEMS_MAX = 400


def _number_as_text(value: object) -> object:
    return str(value) if type(value) is int else value  # not bool


Text = Annotated[str, BeforeValidator(_number_as_text)]
"""A text, or a whole number for it: many peers count their parts and requests."""

Name = Annotated[Text, Field(max_length=NAME_MAX)]


class MessageError(ValueError):
    """A message that is not valid; the text says why."""


class Message(BaseModel):
    """Base of the messages; refuses unknown keys, and values of another type: `true` is not 1."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def json_value(data: bytes, max_bytes: int = MESSAGE_MAX_BYTES) -> Any:
    """Returns the value in a JSON text; pydantic's parser takes 200 levels at most.

    Raises:
        MessageError: it is too long, or it is not JSON.
    """
    if len(data) > max_bytes:
        raise MessageError(f"it is longer than {max_bytes} bytes")
    try:
        return from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise MessageError(f"it is not JSON: {error}") from error


def checked(model: type[M], content: object) -> M:
    """Returns a message of the given kind.

    Raises:
        MessageError: the content is not one; the text names each key and what is wrong with it.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems = [f"{_place(one['loc'])}{one['msg']}" for one in error.errors()]
        raise MessageError("; ".join(problems)[:_PROBLEMS_MAX]) from error


def _place(keys: tuple[int | str, ...]) -> str:
    return f"{keys[0]!r}: " if keys else ""
