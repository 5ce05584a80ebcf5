"""Configuration of a training run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pydantic import Field, model_validator

from inspection.config.loading import ConfigPath, StrictModel
from inspection.errors import ConfigError
from inspection.images import NameExpression, Window
from inspection.preprocess import Crop, Pixels
from inspection.trust.sealed import Sha256
from training.data.augment import Augmentation
from training.models import MODELS, model_module

Size = Annotated[int, Field(ge=32, le=4096)]


class DataConfig(StrictModel):
    """Images, and their way to the model's input.

    Attributes:
        folder: data set in MVTec layout, or a plain folder of good images.
        image_size: (height, width) of the model's input.
        window: values of 16-bit images that become 0 and 255, as {low: 400, high: 3200}; the camera
            of the line needs the same. None takes 8-bit images only.
        crop: part of the frame to inspect, native pixels; None takes the whole frame.
        frame_height: lowest and highest height of frames, px; None takes the one height of all
            images. A line has one camera and one size: ranges are for collected images.
        frame_width: lowest and highest width, likewise.
        hold_out: share of the good images that the training leaves for calibration. 0 learns all,
            with a model in closed form: `linewarden teach` then judges each by a model without it.
        part_name: expression that names the part of a good image in its file name, for parts with
            several images: all images of a part are learnt, or all are held out. None when every
            image is another part.
        without: good images that a person left out: file names by SHA-256.
        augment: random changes of the training images; none by default.
    """

    folder: ConfigPath
    image_size: tuple[Size, Size] = (256, 256)
    window: Window | None = None
    crop: Crop | None = None
    frame_height: tuple[Pixels, Pixels] | None = None
    frame_width: tuple[Pixels, Pixels] | None = None
    hold_out: Annotated[float, Field(ge=0, lt=1)] = 0.2
    part_name: str | None = None
    without: dict[Sha256, str] = Field(default_factory=dict)
    augment: Augmentation = Augmentation()

    @model_validator(mode="after")
    def _turn_only_squares(self) -> DataConfig:
        if self.augment.quarter_turns and self.image_size[0] != self.image_size[1]:
            raise ValueError("augment.quarter_turns needs a square image_size")
        return self

    @model_validator(mode="after")
    def _name_parts_to_hold_out(self) -> DataConfig:
        try:
            named = self.part_of is not None
        except ConfigError as error:
            raise ValueError(str(error)) from error
        if named and self.hold_out == 0:
            # Each image would be judged by a model that knows the other images of its part.
            raise ValueError("part_name needs parts that are held out: set hold_out, to 0.3 say")
        return self

    @property
    def part_of(self) -> NameExpression | None:
        """The name of the part that an image shows; None when every image is another part."""
        return None if self.part_name is None else NameExpression("data.part_name", self.part_name)


class FitConfig(StrictModel):
    """Length and place of a training.

    Attributes:
        epochs: passes over the good images.
        minimum_steps: adds epochs up to this many optimisation steps, so that the model learns a
            small data set too. 0 for exactly `epochs`.
        maximum_steps: adds epochs up to this many steps while the model doubts that it has learnt,
            a quarter of the length at a time and at the last learning rate. 0 adds none.
        device: "cpu" or a CUDA device; there is no silent choice. Under torchrun each process takes
            the CUDA device of its local rank.
        precision: of the optimisation steps, where cuDNN may round "32-true" to TF32; feature
            extraction runs in float32.
        cache_max_bytes: limit of the features of the frozen backbone, or of the prepared images,
            in memory.
        batch_size: of all processes together.
        save_every_s: seconds between two resume states.
    """

    epochs: Annotated[int, Field(ge=1)] = 300
    batch_size: Annotated[int, Field(ge=1)] = 32
    minimum_steps: Annotated[int, Field(ge=0)] = 0
    maximum_steps: Annotated[int, Field(ge=0)] = 0
    seed: Annotated[int, Field(ge=0)] = 42
    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:\d+)?)$")] = "cpu"
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    cache_max_bytes: Annotated[int, Field(ge=0)] = 4_000_000_000
    save_every_s: Annotated[float, Field(ge=0)] = 60.0

    @model_validator(mode="after")
    def _limits_are_in_order(self) -> FitConfig:
        if 0 < self.maximum_steps < self.minimum_steps:
            raise ValueError(
                f"maximum_steps {self.maximum_steps} is below minimum_steps {self.minimum_steps}: "
                "raise it, or set it to 0 to add none"
            )
        return self


if TYPE_CHECKING:
    AnyModelConfig = Any
else:
    AnyModelConfig = Annotated[
        Union[tuple(model_module(name).Config for name in MODELS)],  # noqa: UP007
        Field(discriminator="name"),
    ]


class TrainConfig(StrictModel):
    """A training run: data, model, fit."""

    schema_version: Literal[1] = 1
    data: DataConfig
    model: AnyModelConfig
    fit: FitConfig = FitConfig()
