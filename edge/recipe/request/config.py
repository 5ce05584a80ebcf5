"""Configuration of who asks for recipes: the section `recipe_request` of a line's file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from edge.peers.addresses import ModbusPeer, MqttBroker, Register, TopicPrefix

PollMilliseconds = Annotated[float, Field(ge=10, le=10_000)]


class ModbusRecipeRequestConfig(ModbusPeer):
    """Registers of a PLC; see `edge.recipe.request.modbus`.

    Attributes:
        request_address: holding register of the number that the PLC wants, counted from 0.
        status_address: first of three that the station writes.
    """

    kind: Literal["modbus"]
    request_address: Register
    status_address: Register
    poll_ms: PollMilliseconds = 100.0

    @model_validator(mode="after")
    def _apart(self) -> ModbusRecipeRequestConfig:
        if 0 <= self.request_address - self.status_address < 3:
            raise ValueError("request_address lies among the three registers of status_address")
        return self


class MqttRecipeRequestConfig(MqttBroker):
    """Messages of a topic; see `edge.recipe.request.mqtt`.

    Attributes:
        client_id: another one than that of an output or a trigger.
        topic: what the topics begin with, as plant/hall2/line3.
        poll_ms: how soon a recipe that is loaded is told.
    """

    kind: Literal["mqtt"]
    topic: TopicPrefix
    poll_ms: PollMilliseconds = 100.0


RecipeRequestConfig = Annotated[
    ModbusRecipeRequestConfig | MqttRecipeRequestConfig, Field(discriminator="kind")
]
