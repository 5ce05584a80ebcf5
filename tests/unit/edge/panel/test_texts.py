"""Every language has every text, with the same values in it, and every text has a use."""

import re
from collections import Counter
from pathlib import Path
from string import Formatter

import pytest
import yaml

import edge.panel
from edge.panel.refusals import Refused
from edge.panel.texts import LANGUAGES, Texts, preferred, texts_of

FOLDER = Path(edge.panel.__file__).parent
KEYS = re.compile(r"""\b(?:t|texts)\(\s*f?['"]([a-z_]+\.[A-Za-z_]+)['"]""")


def values_in(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("language", sorted(set(LANGUAGES) - {"en"}))
def test_a_language_has_every_text_with_its_values(language: str) -> None:
    english, other = texts_of("en"), texts_of(language)
    assert sorted(english) == sorted(other)
    differ = [key for key in english if values_in(english[key]) != values_in(other[key])]
    assert differ == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_file_takes_the_text_of_another(language: str) -> None:
    """Sections of several files are laid together."""
    counts = Counter(
        f"{section}.{name}"
        for path in (FOLDER / "locales" / language).glob("*.yaml")
        for section, texts in yaml.safe_load(path.read_text(encoding="utf-8")).items()
        for name in texts
    )
    assert [key for key, count in counts.items() if count > 1] == []


@pytest.mark.parametrize(
    ("language", "others"),
    [
        # A part is "ausgeschleust", a person gives a "Bewertung", and the line keeps an
        # "Aufzeichnung" of it; a "Datensatz" is to train with.
        ("de", r"zurück(ge)?w(ie|ei)s|ausgew[oe]rf|Auswurf|Beurteilung|Auslöser|gute[nrs]? Teil"),
        ("de", r"Datensatz (der|des|hat)|Bedienoberfläche|Verwalter|[Ll]ehren|Bestand\b"),
        # 剔除 is to reject a part, 拒绝 to refuse a request.
        ("zh", r"被拒绝|拒绝.{0,2}工件|误剔率|图片|得分|仓库|试验|承诺|学习"),
        ("zh", r"(?<=[\u4e00-\u9fff])[,;:!?](?!\d)"),  # Chinese has marks of its own
    ],
)
def test_a_language_has_one_word_for_one_thing(language: str, others: str) -> None:
    found = {key: text for key, text in texts_of(language).items() if re.search(others, text)}
    assert found == {}


def test_there_is_no_language_without_a_name() -> None:
    assert {path.name for path in (FOLDER / "locales").iterdir()} == set(LANGUAGES)


def test_the_texts_that_pages_name_exist() -> None:
    sources = [*FOLDER.rglob("*.html"), *FOLDER.rglob("*.py")]
    named = {key for path in sources for key in KEYS.findall(path.read_text(encoding="utf-8"))}
    refusals = {
        key
        for path in FOLDER.rglob("*.py")
        for key in re.findall(
            r'(?<!template\()"(problem\.[a-z_]+)"', path.read_text(encoding="utf-8")
        )
    }
    assert refusals
    assert sorted((named | refusals) - set(texts_of("en"))) == []


def test_every_text_has_a_use() -> None:
    """Texts of roles, verdicts, signals and the like are named by what they belong to."""
    sources = [path for end in ("html", "py", "js") for path in FOLDER.rglob(f"*.{end}")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    computed = (
        *("page.", "role.", "verdict.", "action.", "signal.", "problem.title_"),
        *("trouble.", "todo.", "job_kind.", "job_state.", "result_done.", "result_open."),
        *("focus.", "exposure."),
    )
    unused = [
        key
        for key in texts_of("en")
        if key not in text
        and not key.startswith(computed)
        and not re.search(rf"words\.{key.partition('.')[2]}\b", text)
    ]
    assert unused == []


def test_every_refusal_has_all_values_of_its_text() -> None:
    """The values that the code gives, read from its calls."""
    calls = re.compile(r'Refused\(\s*\d+,\s*"([a-z_.]+)"((?:,\s*\w+=[^,)]+)*)')
    for path in FOLDER.rglob("*.py"):
        for key, given in calls.findall(path.read_text(encoding="utf-8")):
            names = set(re.findall(r"(\w+)=", given))
            assert names == values_in(texts_of("en")[key]), (path.name, key)


def test_a_text_takes_its_values() -> None:
    assert Texts("de")("login.wait", seconds=3) == (
        "Zu viele falsche Passwörter. Warten Sie 3 Sekunden."
    )
    assert Texts("en").below("live")["heat"] == "Heat map"


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("fr, zh-CN;q=0.9, en;q=0.95", "en"),
        ("zh", "zh"),
        ("fr;q=wrong", "en"),
        ("", "en"),
        ("de;q=0.1," * 10_000, "de"),
    ],
)
def test_the_browser_names_the_language(header: str, language: str) -> None:
    assert preferred(header, "en") == language


def test_a_refusal_names_its_text() -> None:
    assert str(Refused(404, "problem.no_page")) == "problem.no_page"
