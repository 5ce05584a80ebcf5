"""HTML pages that need no network: style, pictures and all in one file. Needs jinja2."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from inspection.files import write_text


def write_page(path: Path, template: str, **values: object) -> None:
    """Render a template of this package and write it, atomically; the folder is made."""
    environment = Environment(
        loader=PackageLoader("calibration", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(template).render(**values)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page)
