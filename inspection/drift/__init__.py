"""Detects a line that has moved away from its good parts: baseline, charts, figures of a frame."""
