"""Reads the file of a Triton server, for commands without a line."""

from __future__ import annotations

from pathlib import Path

from edge.peers.triton import TritonServerConfig
from inspection.config.loading import load_config
from inspection.engine import TritonServer


def read_server(path: Path, bundle_name: str) -> TritonServer:
    """Reads the keys that stand below `engine.server` of a line.

    Raises:
        ConfigError: the file is wrong.
        LineError: a certificate, the key or the token cannot be read.
    """
    return load_config(path, TritonServerConfig).resolved(bundle_name)
