"""HTML pages that hold everything they show."""

from __future__ import annotations

import base64
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def render(template: Path, **values: object) -> str:
    """The page of a template; every value is escaped, and a missing one is an error."""
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template.name).render(**values)


def data_url(kind: str, content: bytes) -> str:
    """An image (`kind` "png" or "jpeg") as part of a page."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
