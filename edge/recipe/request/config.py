"""The peers that request recipes: the section `recipe_request` of a line's file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from edge.recipe.request.ethernet_ip import EtherNetIpRecipeRequestConfig
from edge.recipe.request.modbus import ModbusRecipeRequestConfig
from edge.recipe.request.mqtt import MqttRecipeRequestConfig
from edge.recipe.request.s7 import S7RecipeRequestConfig

RecipeRequestConfig = Annotated[
    ModbusRecipeRequestConfig
    | S7RecipeRequestConfig
    | EtherNetIpRecipeRequestConfig
    | MqttRecipeRequestConfig,
    Field(discriminator="kind"),
]
