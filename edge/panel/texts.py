"""The texts of the panel: `locales/LANGUAGE/PAGE.yaml`, keys `page.name`.

Every language has every text; a test compares them. A text names values in braces: "{count} of 20".
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import yaml

LANGUAGES = {"en": "English", "de": "Deutsch", "zh": "中文"}

_FOLDER = Path(__file__).parent / "locales"


class TextKey(str):
    """The key of a text that is a value of another text, such as the name of a role."""


class Texts:
    """The texts of one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._texts = texts_of(language)

    def __call__(self, key: str, /, **values: object) -> str:
        """Returns a text with its values.

        Raises:
            KeyError: there is none, or a value is missing.
        """
        told = {
            name: self._texts[value] if isinstance(value, TextKey) else value
            for name, value in values.items()
        }
        return self._texts[key].format(**told)

    def below(self, page: str) -> dict[str, str]:
        """Returns the texts of a page by their names, for its script."""
        start = f"{page}."
        return {
            key.removeprefix(start): text
            for key, text in self._texts.items()
            if key.startswith(start)
        }


@cache
def texts_of(language: str) -> dict[str, str]:
    """Returns all texts of a language by key."""
    files = sorted((_FOLDER / language).glob("*.yaml"))
    return {key: text for path in files for key, text in _read(path)}


def _read(path: Path) -> Iterator[tuple[str, str]]:
    for section, texts in yaml.safe_load(path.read_text(encoding="utf-8")).items():
        for name, text in texts.items():
            yield f"{section}.{name}", str(text)


def preferred(wanted: str, otherwise: str) -> str:
    """Returns the language that a header Accept-Language names first and the panel has."""
    weighed = []
    for place, part in enumerate(wanted[:500].split(",")):
        name, _, quality = part.strip().partition(";q=")
        language = name.partition("-")[0].lower()
        if language in LANGUAGES:
            weighed.append((-_number(quality), place, language))
    return min(weighed)[2] if weighed else otherwise


def _number(quality: str) -> float:
    try:
        return float(quality or 1)
    except ValueError:
        return 0.0
