"""Encoders: the travel of the conveyor, in counts."""

from edge.encoder.base import Encoder
from edge.encoder.gpio import EncoderConfig

__all__ = ["Encoder", "EncoderConfig"]
